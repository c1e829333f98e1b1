import BPF
import CDatapath

@testable import XDPPlane

/// Packets by the million: a test run makes each one anew, as another client's.
struct Flood: ~Copyable {
    private let begin: Program
    private let state: Map<UInt32, martlet_bench>
    private let underTest: Map<UInt32, UInt32>

    init() throws {
        let object = try loadBenchPrograms()
        let begin = try object.program(named: "bench_begin")
        let state = try object.map(named: "bench", key: UInt32.self, value: martlet_bench.self)
        let underTest = try object.map(named: "under_test", key: UInt32.self, value: UInt32.self)
        self.begin = begin
        self.state = state
        self.underTest = underTest
    }

    /// Sends so many packets of the first 2^24 clients, who come at random, but in the same order
    /// each time.
    func send(_ count: Int32, _ flags: TCPFlags, to stage: FlowStage) throws {
        let frame = stage.packet(of: 0, flags)
        var bench = martlet_bench()
        bench.bytes = UInt32(frame.count)
        bench.flow_mask = 1 << 24 - 1
        bench.flow_offset = UInt32(stage.clientOffset) - 2
        bench.random = 4
        withUnsafeMutableBytes(of: &bench.frame) { $0.copyBytes(from: frame) }
        try state.set(bench, for: 0)
        try underTest.set(program: stage.plane.plane.program, for: 0)
        _ = try begin.run(on: frame, repeating: count)
    }
}
