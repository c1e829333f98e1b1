import Balancing
import FoundationEssentials
import Testing

@testable import Control
@testable import martlet

struct ReportTests {
    private static let taken = Date(timeIntervalSince1970: 1_800_000_000)

    private func backend(
        _ name: String, _ last: Int, _ state: Health.State, reason: String, slots: Int,
        obstacle: String? = nil, ago: Double
    ) -> Status.Backend {
        Status.Backend(
            name: name, address: "192.168.1.\(last)", weight: 1,
            health: .init(state: state, reason: reason, since: Self.taken - ago),
            way: .init(
                interface: obstacle == nil ? "eth1" : nil, neighbour: nil, obstacle: obstacle),
            slots: slots, share: Double(slots) / 65536,
            traffic: Traffic(
                Count(packets: 100, bytes: 6400), since: Count(packets: 50, bytes: 3200),
                seconds: 2))
    }

    @Test func `status is a table that says of every backend what it is and why`() {
        let status = Status(
            taken: Self.taken, interfaces: [.init(name: "eth1", mode: "native", program: 42)],
            services: [
                Status.Service(
                    name: "web", vip: "192.168.1.100", port: 80, transport: "tcp",
                    scheduler: .maglev, forwarding: .l2DSR, slots: 65536, slotsWithoutOwner: 1,
                    traffic: Traffic(Count(packets: 7, bytes: 448)),
                    backends: [
                        backend("server-a", 101, .up, reason: "HTTP 200", slots: 65535, ago: 12),
                        backend(
                            "server-b", 102, .down, reason: "connection refused", slots: 0,
                            ago: 180),
                        backend(
                            "server-c", 103, .up, reason: "HTTP 200", slots: 0,
                            obstacle: "no route", ago: 90000),
                    ], key: "192.168.1.100:80/tcp")
            ])
        #expect(
            text(status) == """
                eth1: program 42, native

                web  192.168.1.100:80/tcp  maglev  l2-dsr
                  arrived: 7 packets, 448 bytes; - packet/s, - bit/s
                  NOBODY SERVES 1 of 65536 slots: packets for them are dropped
                  BACKEND   ADDRESS        WEIGHT  STATE          FOR    SHARE  PACKETS  BYTES  \
                PKT/S   BIT/S  REASON
                  server-a  192.168.1.101       1  up            12 s  100.0 %      100   6400   \
                25.0  12.8 k  HTTP 200
                  server-b  192.168.1.102       1  down         3 min    0.0 %      100   6400   \
                25.0  12.8 k  connection refused
                  server-c  192.168.1.103       1  unreachable   25 h    0.0 %      100   6400   \
                25.0  12.8 k  no route; HTTP 200
                """)
    }

    @Test func `counters are a table with every verdict in words`() {
        let report = CountersReport(
            verdicts: [
                .init(
                    name: "DROP_TRUNCATED", text: "header cut short",
                    count: Count(packets: 3, bytes: 42))
            ], taken: Self.taken)
        #expect(
            text(report) == """
                PACKETS  BYTES  PKT/S  BIT/S
                      3     42      -      -  DROP_TRUNCATED: header cut short
                      3     42      -      -  received in all
                """)
    }

    @Test(
        arguments: [
            (nil, "-"), (0, "0"), (0.04, "0.0"), (12.34, "12.3"), (99.96, "100"), (999, "999"),
            (1000, "1.0 k"), (12_345, "12.3 k"), (1_234_567, "1.2 M"), (2e9, "2.0 G"),
        ] as [(Double?, String)])
    func `a rate has the unit that keeps it short`(perSecond: Double?, shown: String) {
        #expect(rate(perSecond) == shown)
    }
}
