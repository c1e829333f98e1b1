import BPF
import Balancing
import CDatapath
import Packets
import XDPPlane

/// Runs programs on packets that are made anew before each run.
///
/// A test run gives each repetition what the one before left behind; `bench_begin` makes the packet
/// whole again, as another flow, and calls the program under test. What it costs itself is known
/// from running the MAC swap with it and without it.
struct Harness: ~Copyable {
    private let begin: Program
    private let beginListed: Program
    private let swap: Program
    private let encapsulate: Program
    private let state: Map<UInt32, martlet_bench>
    private let underTest: Map<UInt32, UInt32>
    let list: FlowList
    static let repetitions: Int32 = 400_000

    init() throws {
        let object = try loadBenchPrograms()
        let begin = try object.program(named: "bench_begin")
        let beginListed = try object.program(named: "bench_begin_listed")
        let swap = try object.program(named: "bench_swap")
        let encapsulate = try object.program(named: "bench_encapsulate")
        let state = try object.map(named: "bench", key: UInt32.self, value: martlet_bench.self)
        let underTest = try object.map(
            named: "under_test", key: UInt32.self, value: UInt32.self)
        let listed = try object.map(
            named: "listed", key: UInt32.self, value: martlet_bench_ends.self)
        let list = FlowList(try MappedArray<UInt64>(listed))
        self.begin = begin
        self.beginListed = beginListed
        self.swap = swap
        self.encapsulate = encapsulate
        self.state = state
        self.underTest = underTest
        self.list = list
    }

    /// Nanoseconds of the MAC swap by itself.
    func swapAlone(_ frame: [UInt8]) throws -> Double {
        nanoseconds(try swap.run(on: frame, repeating: Self.repetitions).duration)
    }

    /// Nanoseconds of the MAC swap with the making of packets.
    func swapWithPackets(_ subject: Subject) throws -> Double {
        try underTest.set(program: swap, for: 0)
        return try run(subject, Self.repetitions)
    }

    /// Nanoseconds of the balancer without tables, with the making of packets.
    func encapsulation(_ subject: Subject) throws -> Double {
        // On the packet of its own first: it says nothing of what becomes of many.
        let bytes = subject.frame.count + 20
        let result = try encapsulate.run(on: subject.frame)
        guard result.action == transmit, result.packet.count == bytes else {
            throw Failure(
                "measure", "\(subject.row)", because: "it is not encapsulated", cure: nil)
        }
        try underTest.set(program: encapsulate, for: 0)
        return try run(subject, Self.repetitions)
    }

    /// Nanoseconds of the balancer with the making of packets.
    ///
    /// - Throws: If any packet has met with another fate than it should: then the number would be
    ///   that of something else.
    func balancer(
        _ subject: Subject, repeating count: Int32 = repetitions
    ) throws -> Double {
        try subject.prepare()
        try underTest.set(program: subject.plane.program, for: 0)
        let (before, so) = (try packets(subject), try subject.evidence?.count() ?? 0)
        let cost = try run(subject, count)
        try require(try packets(subject) - before, of: count, subject, subject.verdict)
        if let evidence = subject.evidence {
            try require(try evidence.count() - so, of: count, subject, evidence.claim)
        }
        return cost
    }

    private func require(
        _ right: UInt64, of count: Int32, _ subject: Subject, _ claim: String
    ) throws {
        guard right != UInt64(count) else { return }
        throw Failure(
            "measure", "\(subject.row)", because: "\(claim): \(right) packets of \(count)",
            cure: nil)
    }

    private func packets(_ subject: Subject) throws -> UInt64 {
        try subject.plane.verdicts().first { $0.name == subject.verdict }?.count.packets ?? 0
    }

    private func run(_ subject: Subject, _ count: Int32) throws -> Double {
        let frame = subject.frame
        let bench = makeState(frame, flows: subject.row.flows, differingIn: subject.variety)
        try state.set(bench, for: 0)
        switch subject.variety {
        case .listed:
            return nanoseconds(try beginListed.run(on: frame, repeating: count).duration)
        case .source, .destination:
            return nanoseconds(try begin.run(on: frame, repeating: count).duration)
        }
    }

    private func nanoseconds(_ duration: Duration) -> Double {
        Double(duration.components.attoseconds) / 1e9
    }
}

/// `XDP_TX`
private let transmit: UInt32 = 3

/// The ends of flows, for packets that are ``Variety/listed``.
final class FlowList {
    private let words: MappedArray<UInt64>

    init(_ words: consuming MappedArray<UInt64>) { self.words = words }

    func set(_ ends: [martlet_bench_ends]) {
        for (index, ends) in ends.enumerated() {
            words[2 * index] = UInt64(ends.source) | UInt64(ends.destination) << 32
            words[2 * index + 1] =
                UInt64(ends.source_port) | UInt64(ends.destination_port) << 16
        }
    }
}

/// What the programs are told: the packet, and how many flows it is to be of.
func makeState(
    _ frame: [UInt8], flows: Int, differingIn variety: Variety = .source
) -> martlet_bench {
    var bench = martlet_bench()
    bench.bytes = UInt32(frame.count)
    bench.flow_mask = UInt32(flows - 1)
    bench.flow_offset = variety.offset(in: frame) - 2
    bench.random = .random(in: 0 ... .max)
    unsafe withUnsafeMutableBytes(of: &bench.frame) { unsafe $0.copyBytes(from: frame) }
    return bench
}
