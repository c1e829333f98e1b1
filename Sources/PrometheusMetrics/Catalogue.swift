import Balancing
import Control
import FoundationEssentials

extension Metric {
    /// Every metric there is, in the order of the text; docs/metrics.md lists the same.
    public static let all: [Metric] =
        processMetrics + configurationMetrics + planeMetrics + flowTableMetrics + serviceMetrics
        + backendMetrics

    private static let processMetrics: [Metric] = [
        Metric(
            "martlet_build_info", .gauge, "The version of the controller, as a label", ["version"]
        ) { [Sample([$0.process.version], .count(1))] },
        Metric(
            "process_start_time_seconds", .gauge, "When the controller started, since 1970"
        ) { .real($0.process.started.timeIntervalSince1970) },
    ]

    private static let configurationMetrics: [Metric] = [
        Metric("martlet_configuration_generation", .gauge, "The generation that counts") {
            .count($0.status.configuration.generation)
        },
        Metric(
            "martlet_configuration_applied_timestamp_seconds", .gauge,
            "When that generation was applied, since 1970"
        ) { ($0.status.configuration.applied?.timeIntervalSince1970).map(Value.real) },
        Metric(
            "martlet_configuration_last_reload_successful", .gauge,
            "Whether the last reading of the controller's own file was applied (1) or refused (0)"
        ) { .flag($0.status.configuration.refusal == nil) },
        Metric(
            "martlet_configuration_refused_total", .counter,
            "Configurations that were refused since the controller started"
        ) { .count($0.status.configuration.refusals) },
        Metric(
            "martlet_last_apply_duration_seconds", .gauge,
            "How long the last change of any table took"
        ) { $0.status.configuration.applySeconds.map(Value.real) },
        Metric(
            "martlet_table_builds_total", .counter,
            "Slot tables that were worked out since the controller started"
        ) { .count($0.status.configuration.tablesBuilt) },
    ]

    private static let planeMetrics: [Metric] = [
        Metric(
            "martlet_interface_attached", .gauge,
            "Whether the program runs on the interface (1) or should and does not (0)",
            ["interface"]
        ) { $0.interfaces.map { Sample([$0.name], $0.obstacle == nil) } },
        Metric(
            "martlet_interface_info", .gauge, "How the program runs on the interface, as a label",
            ["interface", "mode"]
        ) { facts in
            facts.interfaces.compactMap { interface in
                interface.mode.map { Sample([interface.name, $0], .count(1)) }
            }
        },
        Metric(
            "martlet_packets_total", .counter,
            "Packets by what became of them; they sum to those received", ["verdict", "action"]
        ) { verdicts($0, \.packets) },
        Metric(
            "martlet_bytes_total", .counter,
            "Bytes of those packets, of the frames as they were received", ["verdict", "action"]
        ) { verdicts($0, \.bytes) },
        Metric(
            "martlet_program_runs_total", .counter,
            "Runs of the program while kernel.bpf_stats_enabled is set", ["program"]
        ) { $0.process.programs.map { Sample([$0.name], .count($0.count)) } },
        Metric(
            "martlet_program_run_seconds_total", .counter,
            "How long the program ran in all, while kernel.bpf_stats_enabled is set", ["program"]
        ) { facts in
            facts.process.programs.map { Sample([$0.name], .real(Double($0.nanoseconds) / 1e9)) }
        },
    ]

    /// `forward`, `reply`, `pass`, `drop`: the first word of the verdict.
    private static func verdicts(
        _ facts: Facts, _ count: any KeyPath<Traffic, UInt64> & Sendable
    ) -> [Sample] {
        facts.verdicts.map { verdict in
            let action = verdict.name.prefix { $0 != "_" }.lowercased()
            return Sample([verdict.name, action], .count(verdict.traffic[keyPath: count]))
        }
    }

    private static let flowTableMetrics: [Metric] = [
        Metric("martlet_flow_table_entries", .gauge, "Recorded flows, as the last sweep found") {
            .count($0.status.flowTable.entries)
        },
        Metric(
            "martlet_flows", .gauge,
            "Recorded flows by their state, as the last sweep found, with those of full-nat; "
                + "affinities of clients are no flows", ["state"]
        ) { facts in
            let states = facts.status.flowTable.states
            return [
                (.halfOpen, states.halfOpen), (.established, states.established),
                (.closing, states.closing), (.datagrams, states.datagrams),
                (.affinity, states.affinity),
            ].map { (state: RecordedFlow.State, number) in
                Sample([state.rawValue], .count(number))
            }
        },
        Metric("martlet_flow_table_capacity", .gauge, "Flows that can be recorded") {
            .count($0.status.flowTable.capacity)
        },
        Metric(
            "martlet_flow_table_frozen", .gauge,
            "Whether the table is so full that new flows make no entries"
        ) { .flag($0.status.flowTable.isFrozen) },
        Metric(
            "martlet_flow_table_events_total", .counter,
            "Entries made, not made for want of room (refused) or because the table is frozen, and "
                + "made in place of a half-open one (evicted)", ["event"]
        ) { facts in
            let events = facts.status.flowTable.events
            return [
                ("made", events.made), ("refused", events.refused), ("evicted", events.evicted),
                ("frozen", events.frozen),
            ].map { Sample([$0.0], .count($0.1)) }
        },
    ]
}
