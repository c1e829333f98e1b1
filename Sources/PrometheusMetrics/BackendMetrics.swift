import Balancing
import Control
import FoundationEssentials

// What is told of backends. The address is among the labels, because a backend that leaves may have
// the name of another one that has come.

extension Metric {
    static let backendMetrics: [Metric] =
        trafficMetrics + shareMetrics + healthMetrics
        + orderMetrics

    private static let trafficMetrics: [Metric] = [
        backend("packets_total", .counter, "Packets that were forwarded to the backend") {
            .count($0.traffic.packets)
        },
        backend(
            "bytes_total", .counter, "Bytes of those packets, of the frames as they were received"
        ) { .count($0.traffic.bytes) },
        backend("new_flows_total", .counter, "New flows: TCP packets with SYN and without ACK") {
            .count($0.traffic.flows)
        },
        backend("flows", .gauge, "Open flows, where all flows of the service are recorded") {
            $0.flows.map(Value.count)
        },
        backend("flows_limit", .gauge, "Open flows that it may have, where there is a limit") {
            $0.maxConnections.map { .count(UInt64($0)) }
        },
    ]

    private static let shareMetrics: [Metric] = [
        backend("slots", .gauge, "Slots that the backend owns") { .count($0.slots) },
        backend("share_ratio", .gauge, "Its part of all slots, and so of new flows, from 0 to 1") {
            .real($0.share)
        },
        backend("weight", .gauge, "Its weight, as it counts now") { .count(UInt64($0.weight)) },
        backend("readiness_ratio", .gauge, "How much of its share it gets: it may start slowly") {
            .real($0.readiness)
        },
        backend("backup", .gauge, "Whether it gets new flows only while no other can") {
            .flag($0.isBackup)
        },
    ]

    private static let healthMetrics: [Metric] = [
        Metric(
            "martlet_backend_health", .gauge, "What the probes say: 1 for the state it is in",
            Facts.backendLabels + ["state"]
        ) { facts in
            facts.backends.flatMap { labels, backend in
                [Health.State.up, .down, .unknown].map { state in
                    Sample(after: labels, [state.rawValue], .flag(backend.health.state == state))
                }
            }
        },
        backend(
            "health_changed_timestamp_seconds", .gauge, "Since when it is in that state, since 1970"
        ) { .real($0.health.since.timeIntervalSince1970) },
        backend("reachable", .gauge, "Whether there is a way for packets to it") {
            .flag($0.way.interface != nil)
        },
        backend("latency_seconds", .gauge, "How long it takes to answer, where that is known") {
            $0.latency.map { .real(Double($0) / 1e6) }
        },
    ]

    private static let orderMetrics: [Metric] = [
        backend("draining", .gauge, "Whether it gets no new flows because somebody says so") {
            .flag($0.drain != nil)
        },
        backend("drain_flows_left", .gauge, "Open flows since the drain began, once counted") {
            $0.drain?.flowsLeft.map(Value.count)
        },
        backend("drain_over", .gauge, "Whether no flow is left of one that drains") {
            ($0.drain?.isOver).map(Value.flag)
        },
        backend("leaving", .gauge, "Whether it is not configured any more, and keeps its flows") {
            .flag($0.isLeaving)
        },
        backend("maintenance", .gauge, "Whether it is being worked on") {
            .flag($0.maintenance != nil)
        },
    ]

    private static func backend(
        _ name: String, _ kind: Kind, _ help: String,
        _ value: @escaping @Sendable (Status.Backend) -> Value?
    ) -> Metric {
        Metric("martlet_backend_\(name)", kind, help, Facts.backendLabels) { facts in
            facts.backends.compactMap { labels, backend in
                value(backend).map { Sample(after: labels, [], $0) }
            }
        }
    }
}
