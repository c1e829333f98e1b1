public import Balancing
public import Packets
import Synchronization

/// What is probed. Services that agree on it share the probes.
public struct ProbeTarget: Hashable, Sendable {
    public let check: HealthCheck
    public let address: IPAddress

    public init(check: HealthCheck, address: IPAddress) {
        self.check = check
        self.address = address
    }
}

/// Probes the targets that were told last, each in its own rhythm, until `targets` end or the task
/// is cancelled.
///
/// From the start of one probe to the start of the next it is the check's interval; a probe that
/// takes longer than that is followed at once, without a burst. A slow target delays no other, and
/// one that goes on being wanted notices nothing of a change. What a target that is wanted no more
/// still answers is not reported.
public func watch(
    _ targets: some AsyncSequence<Set<ProbeTarget>, Never> & Sendable,
    clock: some Clock<Duration> = ContinuousClock(),
    probe: @escaping @Sendable (ProbeTarget) async -> ProbeResult,
    report: @escaping @Sendable (ProbeTarget, ProbeResult) async -> Void
) async {
    let wanted = Wanted()
    await withDiscardingTaskGroup { group in
        for await targets in targets {
            for (target, ticket) in wanted.become(targets) {
                group.addTask {
                    var start = clock.now
                    while wanted.isValid(ticket, for: target), !Task.isCancelled {
                        let result = await probe(target)
                        guard wanted.isValid(ticket, for: target) else { return }
                        await report(target, result)
                        start = max(start.advanced(by: target.check.interval), clock.now)
                        do { try await clock.sleep(until: start, tolerance: nil) } catch { return }
                    }
                }
            }
        }
        group.cancelAll()
    }
}

/// What is probed, each with the ticket of the task that does it: a target that goes and comes back
/// has another one.
private final class Wanted: Sendable {
    private struct State {
        var tickets: [ProbeTarget: Int] = [:]
        var last = 0
    }

    private let state = Mutex(State())

    /// Returns those that are new.
    func become(_ targets: Set<ProbeTarget>) -> [(ProbeTarget, Int)] {
        state.withLock { state in
            state.tickets = state.tickets.filter { targets.contains($0.key) }
            return targets.filter { state.tickets[$0] == nil }.map { target in
                state.last += 1
                state.tickets[target] = state.last
                return (target, state.last)
            }
        }
    }

    func isValid(_ ticket: Int, for target: ProbeTarget) -> Bool {
        state.withLock { $0.tickets[target] == ticket }
    }
}
