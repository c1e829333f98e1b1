import CDatapath
import Foundation
import Fuzzing
import Testing

@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"))
struct FuzzTests {
    /// Not by a packet of the fuzzer: no room in the buffer is a matter of the driver's, and the
    /// budget for errors is made whole again before each.
    private static let unreachable: Set<UInt32> = [MARTLET_DROP_NO_ROOM.rawValue]

    @Test func `program and model make the same of 200,000 random packets`() throws {
        var differential = Differential(seed: 1)
        while differential.packets < 200_000 { try differential.runBatch() }
        for number in 1..<MARTLET_VERDICT_COUNT.rawValue
        where !Self.unreachable.contains(number) {
            #expect(
                differential.verdicts[number] ?? 0 > 0, "\(name(martlet_verdict(number))) never")
        }
    }
}
