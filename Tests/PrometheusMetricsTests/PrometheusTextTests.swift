import Control
import Foundation
import Testing

@testable import PrometheusMetrics

struct PrometheusTextTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    private let text = prometheusText(example())
    private var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

    @Test(arguments: [
        "# HELP martlet_configuration_generation The generation that counts",
        "# TYPE martlet_configuration_generation gauge",
        "martlet_configuration_generation 7",
        "martlet_configuration_applied_timestamp_seconds 1799999940",
        "martlet_configuration_last_reload_successful 0",
        "martlet_configuration_refused_total 2",
        "martlet_last_apply_duration_seconds 0.00125",
        "martlet_interface_attached{interface=\"eth1\"} 1",
        "martlet_interface_attached{interface=\"eth2\"} 0",
        "martlet_interface_info{interface=\"eth1\",mode=\"native\"} 1",
        "# TYPE martlet_packets_total counter",
        "martlet_packets_total{verdict=\"FORWARD_L2_DSR\",action=\"forward\"} 7",
        "martlet_packets_total{verdict=\"PASS_NO_SERVICE\",action=\"pass\"} 2",
        // Not what a Double would make of it.
        "martlet_packets_total{verdict=\"DROP_NO_BACKEND\",action=\"drop\"} 1152921504606846977",
        "martlet_bytes_total{verdict=\"REPLY_ECHO\",action=\"reply\"} 64",
        "martlet_program_runs_total{program=\"martlet\"} 1000",
        "martlet_program_run_seconds_total{program=\"martlet\"} 0.00025",
        "martlet_flows{state=\"half-open\"} 1", "martlet_flows{state=\"established\"} 6",
        "martlet_flows{state=\"closing\"} 3", "martlet_flows{state=\"datagrams\"} 4",
        "martlet_flows{state=\"affinity\"} 5",
        "martlet_flow_table_frozen 1",
        "martlet_flow_table_events_total{event=\"evicted\"} 3",
        "martlet_service_slots_changing{service=\"web\",phase=\"pinning\"} 2",
        backend("flows", "server-a", 101) + " 12",
        backend("latency_seconds", "server-a", 101) + " 0.0015",
        backend("share_ratio", "server-a", 103) + " 0.328125",
        backend("health", "server-b", 102, ",state=\"down\"") + " 1",
        backend("health", "server-b", 102, ",state=\"up\"") + " 0",
        backend("health_changed_timestamp_seconds", "server-b", 102) + " 1799999987.5",
        backend("reachable", "server-b", 102) + " 0",
        backend("drain_flows_left", "server-b", 102) + " 3",
        backend("leaving", "server-a", 103) + " 1",
        backend("maintenance", "server-b", 102) + " 1",
    ])
    func `what is known is told`(line: String) {
        #expect(lines.contains(line[...]))
    }

    @Test func `what is not known is left out, and not told as 0`() {
        for name in ["flows", "flows_limit", "latency_seconds", "drain_over", "drain_flows_left"] {
            #expect(!text.contains(backend(name, "server-a", 103)))
        }
        #expect(!text.contains("martlet_interface_info{interface=\"eth2\""))
        let full = example()
        var process = full.process
        process.programs = []
        let bare = prometheusText(full.status, full.counters, process)
        #expect(!bare.contains("martlet_program_run"))
    }

    @Test func `a name can't break out of its label`() {
        let escaped = #"name \"with\"\\"# + "\r" + #"\nall"#
        #expect(text.contains("martlet_service_slots{service=\"\(escaped)\"} 64\n"))
        #expect(text.utf8.count { $0 == UInt8(ascii: "\n") } == lines.count - 1)
    }

    @Test func `no two samples have the same name and labels`() {
        let samples = lines.filter { !$0.hasPrefix("#") && !$0.isEmpty }
            .map { String($0[..<($0.lastIndex(of: " ") ?? $0.endIndex)]) }
        #expect(samples.count > 100)
        #expect(Set(samples).count == samples.count)
        // Even if names were no longer what they are: a scraper would refuse all of it.
        let facts = example()
        var twice = facts.status
        twice.services.append(twice.services[0])
        twice.services[1].backends.append(twice.services[1].backends[0])
        twice.interfaces.append(twice.interfaces[0])
        #expect(prometheusText(twice, facts.counters, facts.process) == text)
    }

    @Test func `each metric has one HELP and one TYPE, before its samples, and ends a line`() {
        #expect(text.hasSuffix("\n"))
        for metric in Metric.all {
            let own = lines.filter { $0.hasPrefix("# HELP \(metric.name) ") }
            #expect(own.count == 1, "\(metric.name)")
            let first = lines.firstIndex { name(of: $0) == metric.name }
            let last = lines.lastIndex { name(of: $0) == metric.name }
            guard let first, let last, first >= 2 else {
                Issue.record("\(metric.name) has no sample in the example")
                continue
            }
            #expect(lines[first - 1] == "# TYPE \(metric.name) \(metric.kind.rawValue)")
            #expect(lines[first - 2].hasPrefix("# HELP \(metric.name) "))
            #expect(lines[first...last].allSatisfy { name(of: $0) == metric.name })
        }
    }

    @Test(arguments: [
        (Value.real(.nan), "NaN"), (.real(.infinity), "+Inf"), (.real(-.infinity), "-Inf"),
        (.real(0), "0"), (.real(1e300), "1e+300"), (.real(2.5e-9), "2.5e-09"), (.count(-1), "0"),
    ])
    func `numbers are such as Prometheus reads`(value: Value, text: String) {
        #expect(value.text == text)
    }

    @Test func `the document lists what there is, with its labels, and nothing else`() throws {
        let document = try String(
            contentsOf: Self.root.appending(path: "docs/metrics.md"), encoding: .utf8)
        let rows = document.split(separator: "\n").filter {
            $0.hasPrefix("| `martlet_") || $0.hasPrefix("| `process_")
        }.map { row in
            row.split(separator: "|").map {
                $0.trimmingCharacters(in: .whitespaces).replacing("`", with: "")
            }
        }.filter { $0.count > 2 }.map { $0[0...2].joined(separator: " | ") }
        let emitted = Metric.all.map { metric in
            let labels = metric.labels.isEmpty ? "-" : metric.labels.joined(separator: ", ")
            return "\(metric.name) | \(metric.kind.rawValue) | \(labels)"
        }
        #expect(rows == emitted)
    }

    private func name(of line: Substring) -> Substring {
        line.prefix { $0 != "{" && $0 != " " }
    }
}

private func backend(
    _ metric: String, _ name: String, _ last: Int, _ more: String = ""
) -> String {
    "martlet_backend_\(metric){service=\"web\",backend=\"\(name)\","
        + "address=\"192.168.1.\(last)\"\(more)}"
}
