import Balancing
import FoundationEssentials

@testable import Control

/// What a controller might say, for tests of texts.
enum Samples {
    static let taken = Date(timeIntervalSince1970: 1_800_000_000)

    static func traffic(_ packets: UInt64, rate: UInt64? = nil, flows: UInt64 = 0) -> Traffic {
        let count = Count(packets: packets, bytes: packets * 100, flows: flows)
        guard let rate else { return Traffic(count) }
        let earlier = Count(packets: packets - rate, bytes: (packets - rate) * 100)
        return Traffic(count, since: earlier, seconds: 1)
    }

    static func backend(
        _ name: String, _ last: Int, _ state: Health.State = .up, reason: String = "HTTP 200",
        share: Double = 0.5, traffic: Traffic = Samples.traffic(1000, rate: 100)
    ) -> Status.Backend {
        Status.Backend(
            name: name, address: "192.168.1.\(last)", weight: 1,
            health: .init(state: state, reason: reason, since: taken - 60),
            way: .init(interface: "eth1", neighbour: "02:00:00:00:00:01", obstacle: nil),
            slots: Int(share * 65536), share: share, traffic: traffic)
    }

    static func service(
        _ name: String, _ key: String, _ backends: [Status.Backend],
        traffic: Traffic = Samples.traffic(2000, rate: 200)
    ) -> Status.Service {
        Status.Service(
            name: name, vip: "192.168.1.100", ports: "80", transport: "tcp", scheduler: .maglev,
            forwarding: .l2DSR, slots: 65536, slotsWithoutOwner: 0, traffic: traffic,
            backends: backends, key: key)
    }

    /// `web` with two backends that serve, `dns` with one that does not.
    static var status: Status {
        var dns = service(
            "dns", "[2001:db8::53]:53/udp",
            [backend("ns1", 53, .down, reason: "no answer in 500 ms", share: 0)],
            traffic: traffic(0, rate: 0))
        dns.slotsWithoutOwner = 65536
        return Status(
            taken: taken, interval: 1,
            interfaces: [.init(name: "eth1", mode: "native", program: 42)],
            services: [
                service(
                    "web", "192.168.1.100:80/tcp",
                    [
                        backend("server-a", 101),
                        backend("server-b", 102, traffic: traffic(3000, rate: 300)),
                    ]), dns,
            ],
            configuration: .init(
                generation: 7, applied: taken - 720, by: "uid 0", cause: "martlet.yaml"))
    }

    static var counters: CountersReport {
        CountersReport(
            Meter(
                Reading(taken: taken, counters: counters(1000)),
                since: Reading(taken: taken - 1, counters: counters(900))),
            of: PlaneContents())
    }

    private static func counters(_ packets: UInt64) -> PlaneCounters {
        func verdict(_ name: String, _ text: String, _ part: UInt64) -> PlaneCounters.Verdict {
            .init(
                name: name, text: text,
                count: Count(packets: packets / part, bytes: packets / part * 100))
        }
        return PlaneCounters(
            verdicts: [
                verdict("FORWARD_L2_DSR", "forwarded with the backend's MAC address", 1),
                verdict("PASS_NO_SERVICE", "left to the kernel", 10),
                verdict("DROP_TRUNCATED", "header cut short", 100),
                verdict("DROP_NO_BACKEND", "nobody serves", 20),
                verdict("DROP_MALFORMED", "odd", 1_000_000),
            ], services: [:], backends: [:])
    }

    static func plan(_ services: [PlanReport.Service]) -> PlanReport {
        PlanReport(
            generation: 7, token: "7-1f0c", fields: [], services: services,
            slots: .init(
                moved: services.map(\.slots.moved).reduce(0, +),
                of: services.map(\.slots.count).reduce(0, +)),
            flows: .init(
                stay: services.map(\.flows.stay).reduce(0, +),
                move: services.map(\.flows.move).reduce(0, +),
                break: services.map(\.flows.break).reduce(0, +),
                breaksUncounted: services.contains { $0.flows.breaksUncounted }))
    }
}
