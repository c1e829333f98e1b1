import Balancing
import Control

// What is told of services. A name is of one service only; everything else about it is in
// `martlet_service_info`, to be joined where it is wanted.

extension Metric {
    static let serviceMetrics: [Metric] = [
        Metric(
            "martlet_service_info", .gauge, "What the service is, as labels",
            ["service", "frontend", "scheduler", "forwarding"]
        ) { facts in
            facts.services.map {
                let kind = [$0.scheduler.rawValue, $0.forwarding.rawValue]
                return Sample([$0.name, $0.key] + kind, .count(1))
            }
        },
        service("packets_total", .counter, "Packets that arrived for the service") {
            .count($0.traffic.packets)
        },
        service(
            "bytes_total", .counter, "Bytes of those packets, of the frames as they were received"
        ) { .count($0.traffic.bytes) },
        service(
            "new_flows_total", .counter, "New flows: TCP packets with SYN and without ACK"
        ) { .count($0.traffic.flows) },
        service("slots", .gauge, "Slots of the service's table") { .count($0.slots) },
        service(
            "slots_without_owner", .gauge, "Slots that nobody serves: packets for them are dropped"
        ) { .count($0.slotsWithoutOwner) },
        Metric(
            "martlet_service_slots_changing", .gauge,
            "Slots on their way from one owner to another, by phase", ["service", "phase"]
        ) { facts in
            facts.services.flatMap { service in
                [
                    ("moving", service.moving), ("pinning", service.pinning),
                    ("pinned", service.pinned),
                ].map { Sample([service.name, $0.0], .count($0.1)) }
            }
        },
        service(
            "panic", .gauge, "Whether so few backends are up that their health is ignored"
        ) { .flag($0.isPanicking) },
        service(
            "backup_in_use", .gauge, "Whether backups have the new flows, as nobody else can"
        ) { .flag($0.usesBackup) },
        service(
            "up_to_date", .gauge, "Whether the kernel holds what is told of the service"
        ) { .flag($0.refusal == nil) },
    ]

    private static func service(
        _ name: String, _ kind: Kind, _ help: String,
        _ value: @escaping @Sendable (Status.Service) -> Value
    ) -> Metric {
        Metric("martlet_service_\(name)", kind, help, ["service"]) { facts in
            facts.services.map { Sample([$0.name], value($0)) }
        }
    }
}
