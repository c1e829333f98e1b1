import BPF
import CLibBPF
import Glibc
import Testing

@testable import XDPPlane

@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"))
struct ProgramRunsTests {
    @Test func `runs are told while the kernel counts them, with the time that they took`() throws {
        let plane = try TestPlane().plane
        let counting = bpf_enable_stats(BPF_STATS_RUN_TIME)
        #expect(counting >= 0)
        defer { close(counting) }
        let packet = [UInt8](repeating: 0, count: 64)
        _ = try plane.program.run(on: packet, repeating: 1000)
        let runs = try #require(try plane.program.runs())
        #expect(runs.count >= 1000)
        #expect(runs.nanoseconds > 0)
    }

    @Test func `where nothing is pinned nothing has run`() throws {
        let pins = PinDirectory("/sys/fs/bpf/martlet-no-such")
        #expect(try Attachments(pins: pins).programRuns() == nil)
    }
}
