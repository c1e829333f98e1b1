import Balancing
import Foundation

@testable import Control
@testable import PrometheusMetrics

/// Facts in which every metric has something to say, and names that want to break out.
func example() -> Facts {
    let taken = Date(timeIntervalSince1970: 1_800_000_000)
    let verdicts = [
        ("FORWARD_L2_DSR", UInt64(7)), ("PASS_NO_SERVICE", 2), ("DROP_NO_BACKEND", (1 << 60) + 1),
        ("REPLY_ECHO", 0),
    ].map { name, packets in
        PlaneCounters.Verdict(name: name, text: "", count: Count(packets: packets, bytes: 64))
    }
    var configuration = Status.Configuration(generation: 7, applied: taken - 60)
    (configuration.refusal, configuration.refusals) = ("line 3: no such mode", 2)
    (configuration.applySeconds, configuration.tablesBuilt) = (0.00125, 9)
    var sweep = SweepReport()
    for (number, established) in [(UInt16(1), 4), (2, 2)] {
        sweep.flows[BackendID(number)] = SweepReport.Flows()
        sweep.flows[BackendID(number)]?.established = established
    }
    sweep.flows[BackendID(1)]?.halfOpen = 1
    sweep.flows[BackendID(2)]?.closing = 3
    sweep.flows[BackendID(2)]?.datagrams = 4
    sweep.affinities = 5
    let status = Status(
        taken: taken,
        interfaces: [
            .init(name: "eth1", mode: "native", program: 42),
            .init(name: "eth2", obstacle: "interface does not exist"),
        ],
        services: [service("web", taken), service("name \"with\"\\\r\nall", taken)],
        flowTable: .init(
            entries: 12, capacity: 2_097_152,
            events: FlowEvents(made: 5, refused: 4, evicted: 3, frozen: 2), isFrozen: true,
            states: .init(sweep)),
        configuration: configuration)
    return Facts(
        status: status, counters: CountersReport(verdicts: verdicts, taken: taken),
        process: ProcessFacts(
            version: "0.1.0", started: taken - 3600,
            programs: [.init(name: "martlet", count: 1000, nanoseconds: 250_000)]))
}

private func service(_ name: String, _ taken: Date) -> Status.Service {
    var first = backend("server-a", 101, .up, taken)
    (first.flows, first.maxConnections, first.latency) = (12, 100, 1500)
    var second = backend("server-b", 102, .down, taken)
    second.way = .init(interface: nil, neighbour: nil, obstacle: "no route")
    second.drain = .init(since: taken, flowsLeft: 3, isOver: false)
    second.maintenance = .init(since: taken, by: "root")
    // The same name at another address: the one before, which keeps its flows.
    var leaver = backend("server-a", 103, .unknown, taken)
    leaver.isLeaving = true
    var service = Status.Service(
        name: name, vip: "192.168.1.100", ports: "80", transport: "tcp", scheduler: .maglev,
        forwarding: .l2DSR, slots: 64, slotsWithoutOwner: 1,
        traffic: Traffic(Count(packets: 9, bytes: 576, flows: 4)),
        backends: [first, second, leaver], key: "192.168.1.100:80/tcp")
    (service.moving, service.pinning, service.pinned) = (3, 2, 1)
    return service
}

private func backend(
    _ name: String, _ last: Int, _ state: Health.State, _ taken: Date
) -> Status.Backend {
    Status.Backend(
        name: name, address: "192.168.1.\(last)", weight: 1,
        health: .init(state: state, reason: "HTTP 200", since: taken - 12.5),
        way: .init(interface: "eth1", neighbour: "02:00:00:00:00:01", obstacle: nil), slots: 21,
        share: 0.328125, traffic: Traffic(Count(packets: 3, bytes: 192, flows: 1)))
}
