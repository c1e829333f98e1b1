import CDatapath
import Foundation
import Fuzzing
import Testing

@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"))
struct FuzzTests {
    /// In a process of its own, for it enters a network of its own.
    @Test func `program and model make the same of 200,000 random packets`() async {
        await #expect(processExitsWith: .success) {
            // No room in the buffer is a matter of the driver's.
            let unreachable: Set<UInt32> = [MARTLET_DROP_NO_ROOM.rawValue]
            var differential = try Differential(seed: 1)
            while differential.packets < 200_000 { try differential.runBatch() }
            for number in 1..<MARTLET_VERDICT_COUNT.rawValue where !unreachable.contains(number) {
                #expect(
                    differential.verdicts[number] ?? 0 > 0,
                    "\(name(martlet_verdict(number))) never")
            }
            for event in 0..<MARTLET_FLOW_EVENT_COUNT.rawValue {
                #expect(differential.flowEvents[event] ?? 0 > 0, "flow event \(event) never")
            }
        }
    }
}
