import BPF
public import CDatapath
import Model
import Packets
import XDPPlane

/// A packet of which program and model make different things.
public struct Difference: Error, CustomStringConvertible {
    public let description: String
}

/// Runs the same packets through the program, in the kernel, and through the model.
public struct Differential {
    private let seed: UInt64
    private let network: KernelNetwork
    /// How often each verdict was reached, by its number.
    public private(set) var verdicts: [UInt32: Int] = [:]
    /// Packets compared.
    public private(set) var packets = 0

    /// Packets of one set of tables: making tables takes as long as many packets.
    private static let batch = 20_000

    /// Enters a network of its own with the calling thread, which must stay there.
    ///
    /// - Parameter seed: The same seed gives the same tables and packets.
    public init(seed: UInt64) throws {
        self.seed = seed
        network = try KernelNetwork()
    }

    /// Compares one more batch of packets over new tables.
    public mutating func runBatch() throws {
        let batchSeed = seed &+ UInt64(packets)
        var random = Random(seed: batchSeed)
        let world = World(&random, in: network)
        let frames = Frames(random, answers: world.answers)
        guard try agree(world, frames) else {
            let (index, mismatch) = try locate(world, frames)
            throw Difference(
                description: "seed \(batchSeed), packet \(index):\n"
                    + "\(try shrunk(mismatch, world))\nas it came:\n\(mismatch)")
        }
        packets += Self.batch
    }

    /// Whether they make the same of every packet, and count the same over all.
    private mutating func agree(_ world: World, _ frames: Frames) throws -> Bool {
        var (run, frames) = (try Run(world), frames)
        for _ in 0..<Self.batch {
            guard let verdict = try run.agreedVerdict(on: frames.next()) else { return false }
            verdicts[verdict.rawValue, default: 0] += 1
        }
        return try run.countsAgree()
    }

    /// Goes through the batch once more, and looks at the counters after every packet.
    private func locate(_ world: World, _ frames: Frames) throws -> (Int, Mismatch) {
        var (run, frames) = (try Run(world), frames)
        for index in 0..<Self.batch {
            if let mismatch = try run.mismatch(on: frames.next()) { return (index, mismatch) }
        }
        throw Difference(description: "seed \(seed &+ UInt64(packets)): not twice the same")
    }

    /// A shorter or simpler frame on which they differ as well, over the same tables.
    private func shrunk(_ mismatch: Mismatch, _ world: World) throws -> Mismatch {
        var (run, smallest, tries) = (try Run(world), mismatch, 0)
        var isSmaller = true
        while isSmaller, tries < Self.shrinkLimit {
            isSmaller = false
            for candidate in simpler(smallest.frame) where tries < Self.shrinkLimit {
                tries += 1
                guard let other = try run.mismatch(on: candidate) else { continue }
                smallest = other
                isSmaller = true
                break
            }
        }
        return smallest
    }

    /// So many tries take some seconds.
    private static let shrinkLimit = 3000

    private func simpler(_ frame: [UInt8]) -> [[UInt8]] {
        let cuts = [frame.count / 2, frame.count - 16, frame.count - 1]
            .filter { $0 >= 14 && $0 < frame.count }
            .map { Array(frame.prefix($0)) }
        let zeroed = frame.indices.filter { frame[$0] != 0 }.map { index in
            var simpler = frame
            simpler[index] = 0
            return simpler
        }
        return cuts + zeroed
    }
}

/// A frame of which they make different things, and what.
struct Mismatch: CustomStringConvertible {
    let frame: [UInt8]
    let model: String
    let program: String

    var description: String {
        """
          frame   \(hex(frame))
          model   \(model)
          program \(program)
        """
    }
}

private func hex(_ bytes: [UInt8]) -> String {
    bytes.map { byte in
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
    }.joined()
}

/// All that is counted, over all CPUs.
private struct Counts: Equatable {
    var verdicts: [UInt32: Traffic] = [:]
    var services: [UInt32: Traffic] = [:]
    var backends: [UInt32: Traffic] = [:]

    struct Traffic: Equatable {
        var packets: UInt64 = 0
        var bytes: UInt64 = 0
        var flows: UInt64 = 0
    }

    /// Takes what the model says of a packet.
    mutating func add(_ outcome: Outcome, bytes: Int) {
        let flows: UInt64 = outcome.isNewFlow ? 1 : 0
        add(\.verdicts, outcome.verdict.rawValue, bytes, 0)
        if let service = outcome.service { add(\.services, service, bytes, flows) }
        if let backend = outcome.backend { add(\.backends, backend, bytes, flows) }
    }

    private mutating func add(
        _ kind: WritableKeyPath<Counts, [UInt32: Traffic]>, _ number: UInt32, _ bytes: Int,
        _ flows: UInt64
    ) {
        self[keyPath: kind][number, default: Traffic()].packets += 1
        self[keyPath: kind][number, default: Traffic()].bytes += UInt64(bytes)
        self[keyPath: kind][number, default: Traffic()].flows += flows
    }
}

extension Counts {
    /// What the program has counted; what it never counted is left out.
    init(_ plane: XDPPlane) throws {
        for number in 0..<MARTLET_VERDICT_COUNT.rawValue {
            let counts = try plane.tables.verdictCounters.perCPU(number)
            verdicts[number] = counts.reduce(into: Traffic()) {
                $0.packets += $1.packets
                $0.bytes += $1.bytes
            }
        }
        for number in 1...World.highestNumber {
            services[number] = Traffic(try plane.tables.serviceCounters.perCPU(number))
            backends[number] = Traffic(try plane.tables.backendCounters.perCPU(number))
        }
        for kind in [\Counts.verdicts, \.services, \.backends] {
            self[keyPath: kind] = self[keyPath: kind].filter { $0.value.packets > 0 }
        }
    }
}

extension Counts.Traffic {
    init(_ counts: [martlet_traffic]) {
        for count in counts {
            packets += count.packets
            bytes += count.bytes
            flows += count.flows
        }
    }
}

/// The program with tables of its own, and the model with what it expects the program to count.
private struct Run {
    private let plane: XDPPlane
    private var tables: Model.Tables
    private var expected = Counts()

    /// Where a test run says that its packets come from: the loopback.
    private static let ingress: UInt32 = 1

    init(_ world: World) throws {
        plane = try XDPPlane(takingOver: PinDirectory("/sys/fs/bpf/martlet-no-such"))
        tables = world.tables
        try world.write(into: plane)
    }

    /// Runs one frame through both.
    private mutating func run(_ frame: [UInt8]) throws -> (Outcome, Program.Result, agree: Bool) {
        let outcome = decide(frame, from: Self.ingress, by: tables, at: coarseTime())
        if outcome.verdict == MARTLET_REPLY_TOO_BIG {
            // Each such packet finds a whole budget.
            try plane.tables.errorBudget.setPerCPU(martlet_budget(), for: 0)
        }
        if let note = outcome.note { tables.fragments[note.key] = note.value }
        if let change = outcome.flowChange { tables.nat.flows[change.place] = change.flow }
        expected.add(outcome, bytes: frame.count)
        let result = try plane.program.run(on: frame)
        let agree = result.action == code(outcome.action) && result.packet == outcome.frame
        return (outcome, result, agree)
    }

    /// The verdict, if action and frame are the same; counters are not looked at.
    mutating func agreedVerdict(on frame: [UInt8]) throws -> martlet_verdict? {
        let (outcome, _, agree) = try run(frame)
        return agree ? outcome.verdict : nil
    }

    /// Whether the program has counted what the model says, and left the same notes and flows.
    func countsAgree() throws -> Bool {
        guard try Counts(plane) == expected,
            try plane.firstDifference(from: tables.nat) == nil
        else { return false }
        return try tables.fragments.allSatisfy { key, note in
            let found = try plane.tables.fragments.value(for: martlet_fragment_key(key))
            return found?.service == note.service && found?.backend == note.backend
                && found?.hash == note.hash && found?.nat == number(of: note.place)
        }
    }

    private func number(of place: NAT.Place?) -> UInt32 {
        place.map { $0.address << 16 | UInt32($0.port) } ?? 0
    }

    /// Whether the flow that the model has changed is the same in the tables.
    private func flowAgrees(_ outcome: Outcome) throws -> Bool {
        guard let place = outcome.flowChange?.place,
            let table = try plane.tables.natTables.inner(
                for: place.address, key: UInt32.self, value: martlet_nat_bucket.self)
        else { return true }
        let found = NATCell(at: place.port, of: try MappedArray<UInt64>(table))
        return tables.nat.flows[place].map { found.isLike(NATCell($0)) } ?? found.isFree
    }

    /// Runs one frame, and looks at everything.
    mutating func mismatch(on frame: [UInt8]) throws -> Mismatch? {
        let before = expected
        let (outcome, result, agree) = try run(frame)
        let counted = try Counts(plane)
        defer { expected = counted }
        let flowAgrees = try flowAgrees(outcome)
        if agree, counted == expected, flowAgrees { return nil }
        let verdicts = counted.verdicts.filter { before.verdicts[$0.key] != $0.value }.keys
            .map { name(martlet_verdict($0)) }
        let flowWords =
            (outcome.isNewFlow ? "a new flow" : "no new flow")
            + (flowAgrees ? "" : ", with another NAT flow")
        let services = counted.services.filter { before.services[$0.key] != $0.value }.keys
        let backends = counted.backends.filter { before.backends[$0.key] != $0.value }.keys
        return Mismatch(
            frame: frame,
            model: "\(name(outcome.verdict)) \(outcome.action), service "
                + "\(outcome.service ?? 0), backend \(outcome.backend ?? 0), "
                + "\(flowWords): \(hex(outcome.frame))",
            program: "\(verdicts.joined(separator: " ")) action \(result.action), service "
                + "\(Array(services)), backend \(Array(backends)): \(hex(result.packet))")
    }
}

/// The name of a verdict, as the counters have it.
public func name(_ verdict: martlet_verdict) -> String {
    unsafe martlet_verdict_name(verdict.rawValue).map { unsafe String(cString: $0) } ?? "none"
}

private func code(_ action: Outcome.Action) -> UInt32 {
    switch action {
    case .drop: 1
    case .pass: 2
    case .transmit: 3
    case .redirect: 4
    }
}

extension martlet_fragment_key {
    fileprivate init(_ key: Model.Tables.FragmentKey) {
        self.init(
            source: martlet_address(Places.v6(mapped(key.source))),
            destination: martlet_address(Places.v6(mapped(key.destination))),
            identification: key.identification.bigEndian, protocol: key.transport,
            family: key.source.family.rawValue, zero: 0)
    }
}
