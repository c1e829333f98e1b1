import BPF
import Balancing
import CDatapath
import Packets
import XDPPlane

/// The rows of `full-nat`, IPv4: flows that are there, and such as are opened.
///
/// There are twice as many ports as the most flows need: an address has nearly 64 Ki.
func makeFullNATSubjects(_ harness: borrowing Harness) throws -> [Subject] {
    let few = Setup(family: .v4, forwarding: .fullNAT, natAddresses: 2)
    let many = Setup(family: .v4, forwarding: .fullNAT, natAddresses: 32)
    return try makeOpenFlows([1, 1 << 10, 1 << 16], few, harness)
        + makeOpenFlows([1 << 20], many, harness) + makeSYNs(many)
}

/// Packets of flows that are there, both ways.
private func makeOpenFlows(
    _ flows: [Int], _ setup: Setup, _ harness: borrowing Harness
) throws -> [Subject] {
    let plane = try setup.makePlane()
    let answers = try open(flows.max() ?? 1, setup, plane, harness)
    return flows.map { question(setup, plane, flows: $0) }
        + flows.map { flows in
            var subject = answer(setup, plane, flows: flows)
            let list = harness.list
            subject.prepare = { list.set(Array(answers.prefix(flows))) }
            return subject
        }
}

/// SYNs that find their flow, or no flow but a free port, or neither.
private func makeSYNs(_ setup: Setup) throws -> [Subject] {
    let plane = try setup.makePlane()
    let ports = try Ports(of: plane)
    // As many as the benchmark can tell apart: hardly one comes twice in a round.
    let many = 1 << 24
    var (again, new, lost) = (
        question(setup, plane, isSYN: true, flows: 1),
        question(setup, plane, isSYN: true, flows: many),
        Subject(
            row: Row("SYN, no port free", setup, flows: many), frame: setup.frame(isSYN: true),
            plane: plane, verdict: "DROP_NAT_EXHAUSTED")
    )
    again.prepare = { ports.fill(with: 0) }
    new.prepare = again.prepare
    lost.prepare = {
        let state = UInt64(MARTLET_NAT_ESTABLISHED.rawValue)
        ports.fill(
            with: UInt64(coarseTime()) << UInt64(MARTLET_NAT_TIME_SHIFT.rawValue) | state)
    }
    return [again, new, lost]
}

/// What a backend answers, to a port of ours.
private func answer(_ setup: Setup, _ plane: XDPPlane, flows: Int) -> Subject {
    let ours = End(address: .v4(IPv4Address(0)), port: 0)
    return Subject(
        row: Row("answer", setup, flows: flows), frame: tcpFrame(from: ours, to: ours),
        variety: .listed, plane: plane, verdict: "FORWARD_RETURN")
}

/// Opens so many flows as their clients and the backends do: SYN, answer, ACK.
///
/// - Returns: The ends of answers, in an order that has nothing to do with that of the ports.
private func open(
    _ count: Int, _ setup: Setup, _ plane: XDPPlane, _ harness: borrowing Harness
) throws -> [martlet_bench_ends] {
    let vip = End(address: setup.vip, port: 80)
    let clients = (0..<count).map { martlet_bench_ends(from: client(UInt32($0)), to: vip) }
    func send(_ subject: Subject, _ ends: [martlet_bench_ends]) throws {
        var subject = subject
        subject.variety = .listed
        harness.list.set(ends)
        _ = try harness.balancer(subject, repeating: Int32(count))
    }
    try send(question(setup, plane, isSYN: true, flows: count), clients)
    let answers = try Ports(of: plane).answers().shuffled()
    guard answers.count == count else {
        throw Failure(
            "open", "\(count) flows", because: "there are \(answers.count)", cure: nil)
    }
    try send(answer(setup, plane, flows: count), answers)
    try send(question(setup, plane, flows: count), clients)
    return answers
}

/// The ports of a plane's NAT addresses, and the flows that they have.
private struct Ports {
    private let tables: [NATTable]

    init(of plane: XDPPlane) throws {
        tables = try plane.contents().pool.addresses.sorted { $0.key < $1.key }
            .compactMap { try NATTable(of: $0.value, number: $0.key.number, in: plane) }
    }

    /// Gives every port this word; what else is known of its flow stays.
    func fill(with word: UInt64) {
        for table in tables {
            for port in NATTable.ports { table.words[NATTable.indexOfWord(port)] = word }
        }
    }

    /// What the backends of all flows answer.
    func answers() -> [martlet_bench_ends] {
        tables.flatMap { table in
            NATTable.ports.filter { table.words[NATTable.indexOfWord($0)] != 0 }.map(table.answer)
        }
    }
}

/// A class, for arrays hold nothing that can't be copied.
private final class NATTable {
    static let ports = 0..<(1 << 16)
    private static let lanes = Int(MARTLET_NAT_LANES.rawValue)
    private static let wordsOfBucket = MemoryLayout<martlet_nat_bucket>.size / 8
    private static let flowsOfBucket =
        MemoryLayout<martlet_nat_bucket>.size / MemoryLayout<martlet_nat_flow>.size

    private let address: IPAddress
    let words: MappedArray<UInt64>

    init?(of address: IPAddress, number: UInt16, in plane: XDPPlane) throws {
        guard
            let table = try plane.natTable(UInt32(number))
        else { return nil }
        self.address = address
        words = try MappedArray<UInt64>(table)
    }

    static func indexOfWord(_ port: Int) -> Int { port / lanes * wordsOfBucket + port % lanes }

    /// What the backend answers whose flow is at this port.
    ///
    /// The words of a bucket are as long as one flow, and come before the flows.
    func answer(from port: Int) -> martlet_bench_ends {
        let flow = words.value(
            at: port / Self.lanes * Self.flowsOfBucket + 1 + port % Self.lanes,
            as: martlet_nat_flow.self)
        let backend = End(
            address: .v4(IPv4Address(UInt32(bigEndian: flow.backend.word.3))),
            port: UInt16(bigEndian: flow.backend_port))
        return martlet_bench_ends(from: backend, to: End(address: address, port: UInt16(port)))
    }
}

extension martlet_bench_ends {
    /// Of flows over IPv4.
    init(from source: End, to destination: End) {
        self.init()
        if case .v4(let address) = source.address { self.source = address.number.bigEndian }
        if case .v4(let address) = destination.address {
            self.destination = address.number.bigEndian
        }
        source_port = source.port.bigEndian
        destination_port = destination.port.bigEndian
    }
}
