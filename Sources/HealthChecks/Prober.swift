public import Balancing
public import Packets

/// What is probed. Services that agree on it share the probes.
public struct ProbeTarget: Hashable, Sendable {
    public let check: HealthCheck
    public let address: IPAddress

    public init(check: HealthCheck, address: IPAddress) {
        self.check = check
        self.address = address
    }
}

/// Probes `targets`, each in its own rhythm, until the task is cancelled.
///
/// From the start of one probe to the start of the next it is the check's interval; a probe that
/// takes longer than that is followed at once, without a burst. A slow target delays no other.
public func watch(
    _ targets: Set<ProbeTarget>, clock: some Clock<Duration> = ContinuousClock(),
    probe: @escaping @Sendable (ProbeTarget) async -> ProbeResult,
    report: @escaping @Sendable (ProbeTarget, ProbeResult) async -> Void
) async {
    await withDiscardingTaskGroup { group in
        for target in targets {
            group.addTask {
                var start = clock.now
                while !Task.isCancelled {
                    await report(target, await probe(target))
                    start = max(start.advanced(by: target.check.interval), clock.now)
                    do { try await clock.sleep(until: start, tolerance: nil) } catch { return }
                }
            }
        }
    }
}
