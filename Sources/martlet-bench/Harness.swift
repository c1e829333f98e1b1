import BPF
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
    private let swap: Program
    private let state: Map<UInt32, martlet_bench>
    private let underTest: Map<UInt32, UInt32>
    static let repetitions: Int32 = 400_000

    init() throws {
        let object = try loadBenchPrograms()
        let begin = try object.program(named: "bench_begin")
        let swap = try object.program(named: "bench_swap")
        let state = try object.map(named: "bench", key: UInt32.self, value: martlet_bench.self)
        let underTest = try object.map(
            named: "under_test", key: UInt32.self, value: UInt32.self)
        self.begin = begin
        self.swap = swap
        self.state = state
        self.underTest = underTest
    }

    /// Nanoseconds of the MAC swap by itself.
    func swapAlone(_ frame: [UInt8]) throws -> Double {
        nanoseconds(try swap.run(on: frame, repeating: Self.repetitions).duration)
    }

    /// Nanoseconds of the MAC swap with the making of packets.
    func swapWithPackets(_ frame: [UInt8], flows: Int) throws -> Double {
        try underTest.set(program: swap, for: 0)
        return try run(frame, flows)
    }

    /// Nanoseconds of the balancer with the making of packets.
    func balancer(_ subject: Subject) throws -> Double {
        try underTest.set(program: subject.plane.program, for: 0)
        return try run(subject.frame, subject.row.flows)
    }

    private func run(_ frame: [UInt8], _ flows: Int) throws -> Double {
        try state.set(makeState(frame, flows: flows), for: 0)
        return nanoseconds(try begin.run(on: frame, repeating: Self.repetitions).duration)
    }

    private func nanoseconds(_ duration: Duration) -> Double {
        Double(duration.components.attoseconds) / 1e9
    }
}

/// What the programs are told: the packet, and how many flows it is to be of.
func makeState(_ frame: [UInt8], flows: Int) -> martlet_bench {
    var bench = martlet_bench()
    bench.bytes = UInt32(frame.count)
    bench.flow_mask = UInt32(flows - 1)
    bench.flow_offset = flowOffset(of: frame[12] == 8 ? .v4 : .v6) - 2
    bench.random = 1
    unsafe withUnsafeMutableBytes(of: &bench.frame) { unsafe $0.copyBytes(from: frame) }
    return bench
}
