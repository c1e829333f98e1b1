import Balancing
import FoundationEssentials
import Packets
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
                interface: obstacle == nil ? "eth1" : nil,
                neighbour: obstacle == nil ? "02:00:00:00:00:01" : nil, obstacle: obstacle),
            slots: slots, share: Double(slots) / 65536,
            traffic: Traffic(
                Count(packets: 100, bytes: 6400), since: Count(packets: 50, bytes: 3200),
                seconds: 2))
    }

    private func status(_ service: Status.Service) -> Status {
        Status(
            taken: Self.taken, interval: 1.96,
            interfaces: [.init(name: "eth1", mode: "native", program: 42)], services: [service])
    }

    private func service(
        _ key: String, slotsWithoutOwner: Int = 0, _ backends: [Status.Backend]
    ) -> Status.Service {
        Status.Service(
            name: "web", vip: "192.168.1.100", ports: "80", transport: "tcp", scheduler: .maglev,
            forwarding: .l2DSR, slots: 65536, slotsWithoutOwner: slotsWithoutOwner,
            traffic: Traffic(Count(packets: 7, bytes: 448)), backends: backends, key: key)
    }

    @Test func `status says of every backend what it is and why, what it gets and how`() {
        var service = service(
            "192.168.1.100:80/tcp", slotsWithoutOwner: 1,
            [
                backend("server-a", 101, .up, reason: "HTTP 200", slots: 65535, ago: 12),
                backend("server-b", 102, .down, reason: "connection refused", slots: 0, ago: 180),
                backend(
                    "server-c", 103, .up, reason: "HTTP 200", slots: 0, obstacle: "no route",
                    ago: 90000),
            ])
        service.refusal = "cannot set in backends: out of memory (12)\n  free some"
        (service.backends[0].flows, service.backends[0].latency) = (12, 1500)
        #expect(
            text(status(service)) == """
                eth1: program 42, native
                rates are those of the last 2.0 s

                web  192.168.1.100:80/tcp  maglev  l2-dsr
                  arrived: 7 packets, 448 bytes; - packet/s, - bit/s
                  NOBODY SERVES 1 of 65536 slots: packets for them are dropped
                  NOT UP TO DATE, and tried again every second:
                    cannot set in backends: out of memory (12)
                      free some
                  BACKEND   WEIGHT  STATE          FOR  SLOTS    SHARE  FLOWS  LATENCY  REASON
                  server-a       1  up            12 s  65535  100.0 %     12   1.5 ms  HTTP 200
                  server-b       1  down         3 min      0    0.0 %      -        -  \
                connection refused
                  server-c       1  unreachable   25 h      0    0.0 %      -        -  \
                no route; HTTP 200
                  BACKEND   PACKETS  BYTES  PKT/S   BIT/S  ADDRESS AND NEXT HOP
                  server-a      100   6400   25.0  12.8 k  192.168.1.101 by \
                02:00:00:00:00:01 on eth1
                  server-b      100   6400   25.0  12.8 k  192.168.1.102 by \
                02:00:00:00:00:01 on eth1
                  server-c      100   6400   25.0  12.8 k  192.168.1.103 unreachable
                """)
    }

    /// The lines of the status of one backend in which `part` is.
    private func lines(
        with part: String, _ change: (inout Status.Service) -> Void = { _ in }
    ) -> [String] {
        var service = service(
            "192.168.1.100:80/tcp",
            [backend("server-a", 101, .up, reason: "HTTP 200", slots: 65536, ago: 12)])
        change(&service)
        return text(status(service)).split(separator: "\n").map(String.init)
            .filter { $0.contains(part) }
    }

    @Test func `what people are to be woken for is in capitals`() {
        #expect(
            lines(with: "PANIC") { $0.isPanicking = true }
                == ["  PANIC: too few backends are up, so that their health is ignored"])
        #expect(
            lines(with: "BACKUP") { $0.usesBackup = true }
                == ["  BACKUP: new flows go to the backup, for no other backend can serve"])
        #expect(lines(with: "PANIC") + lines(with: "BACKUP") == [])
    }

    @Test func `slots that change hands are told while there are some`() {
        #expect(lines(with: "change hands") == [])
        #expect(
            lines(with: "change hands") {
                ($0.moving, $0.pinning, $0.pinned) = (3, 20, 100)
            } == ["  123 of 65536 slots change hands: 3 moving, 20 pinning, 100 pinned"])
    }

    @Test func `a backend is called draining, leaving or up in part, if it is`() {
        let drain = Status.Drain(since: Self.taken - 60, isOver: false)
        func state(_ change: (inout Status.Backend) -> Void) -> Substring? {
            lines(with: "server-a  ") { change(&$0.backends[0]) }.first?
                .dropFirst("  server-a       1  ".count).prefix { $0 != " " && $0 != "," }
        }
        #expect(state { _ in } == "up")
        #expect(state { $0.drain = drain } == "draining")
        #expect(
            state {
                $0.drain = drain
                $0.isLeaving = true
            } == "leaving")
        let slow = lines(with: "server-a  ") { $0.backends[0].readiness = 1.0 / 16 }
        #expect(slow.first?.contains("  up, 6.3 %  ") == true)
    }

    @Test(
        arguments: [
            (nil, nil, nil, "counting flows"),
            (12, nil, nil, "12 flows left"),
            (1, 30, nil, "1 flow left, ending in about 30 s"),
            (12, 300, nil, "12 flows left, ending in about 5 min"),
            (12, 300, 540, "12 flows left, ending in about 5 min; cut in 9 min"),
            (nil, nil, 60, "counting flows; cut in 60 s"),
            (0, 0, nil, "no flow has been seen since, silent ones may be left"),
            (0, 0, 60, "no flow has been seen since, silent ones may be left; cut in 60 s"),
        ] as [(Int?, Double?, Double?, String)])
    func `a drain tells how far it has come`(
        left: Int?, seconds: Double?, deadline: Double?, shown: String
    ) {
        let drain = Status.Drain(
            since: Self.taken - 60, deadline: deadline.map { Self.taken + $0 }, flowsLeft: left,
            secondsLeft: seconds, isOver: false)
        #expect(drainText(drain, at: Self.taken) == shown)
        #expect(
            lines(with: "drains:") { $0.backends[0].drain = drain }
                == ["  server-a drains: \(shown)"])
    }

    @Test(
        arguments: [
            (nil, "over: no flow is left"), (0, "over: at the deadline 0 flows cut"),
            (1, "over: at the deadline 1 flow cut"), (7, "over: at the deadline 7 flows cut"),
        ] as [(Int?, String)])
    func `a drain that is over tells how it ended`(cut: Int?, shown: String) {
        let drain = Status.Drain(
            since: Self.taken - 60, deadline: Self.taken - 1, cut: cut, flowsLeft: 0, isOver: true)
        #expect(drainText(drain, at: Self.taken) == shown)
    }

    @Test func `the flow table is told when there is something in it, or no room`() {
        func shown(_ table: Status.FlowTable) -> [Substring] {
            var status = status(service("192.168.1.100:80/tcp", []))
            status.flowTable = table
            return text(status).split(separator: "\n").filter {
                $0.lowercased().contains("flow table")
            }
        }
        #expect(shown(.init(capacity: 2_097_152)) == [])
        #expect(
            shown(.init(entries: 1000, capacity: 2_097_152))
                == ["flow table: 1000 of 2097152 entries"])
        #expect(
            shown(
                .init(
                    entries: 2_000_000, capacity: 2_097_152, events: FlowEvents(refused: 3),
                    isFrozen: true)) == [
                    "flow table: 2000000 of 2097152 entries",
                    "FLOW TABLE NEARLY FULL: new flows go where they need no entry",
                    "flow table: no room for 3 packets' flows until now",
                ])
    }

    @Test(
        arguments: [
            ("10.0.0.1", 8080, "10.0.0.1:8080 by"), ("10.0.0.1", nil, "10.0.0.1 by"),
            ("2001:db8::1", 8080, "[2001:db8::1]:8080 by"), ("2001:db8::1", nil, "2001:db8::1 by"),
        ] as [(String, UInt16?, String)])
    func `a backend is shown with its port if it has one of its own`(
        address: String, port: UInt16?, shown: String
    ) {
        var backend = backend("server-a", 1, .up, reason: "accepted", slots: 1, ago: 1)
        backend.address = address
        backend.port = port
        var service = service("203.0.113.1:80/tcp", [backend])
        service.forwarding = .fullNAT
        let lines = text(status(service)).split(separator: "\n")
        #expect(lines.contains { $0.hasSuffix("maglev  full-nat") })
        #expect(lines.last?.contains("   100   6400   25.0  12.8 k  \(shown) ") == true, "\(lines)")
    }

    @Test(arguments: [8, 20, 40, 63])
    func `status fits 100 columns, however long names, addresses and reasons are`(letters: Int) {
        let name = String(repeating: "n", count: letters)
        let address = "2001:db8:1111:2222:3333:4444:5555:6666"
        let reason = "HTTP 503, expected 200-299"
        var backends = [
            backend(name, 101, .up, reason: reason, slots: 65535, ago: 90000),
            backend(
                name, 102, .down, reason: reason, slots: 0,
                obstacle: "\(address) does not answer on enp130s0f0np1", ago: 90000),
        ]
        for index in backends.indices {
            backends[index].address = address
            backends[index].traffic = Traffic(
                Count(packets: 1 << 40, bytes: 1 << 50), since: Count(), seconds: 1)
        }
        let shown = text(status(service("[\(address)]:65535/tcp", backends)))
        for line in shown.split(separator: "\n") { #expect(line.count <= 100, "\(line)") }
        let words = shown.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
        #expect(words.contains("\(address) does not answer on enp130s0f0np1; \(reason)"))
        #expect(words.contains("\(address) by 02:00:00:00:00:01 on eth1"))
    }

    @Test func `counters are a table with every verdict in words`() throws {
        let key = ServiceKey(
            vip: try #require(IPAddress("192.168.1.100")), port: 80, transport: .tcp)
        let address = try #require(IPAddress("192.168.1.101"))
        let contents = PlaneContents(
            services: [ServiceID(1): .init(slots: [])],
            keys: [key: .init(service: ServiceID(1))], vips: [IPPrefix(key.vip): VIP.Settings()],
            backends: [
                BackendID(7): .init(
                    service: ServiceID(1), address: address, forwarding: .l2DSR, nextHop: nil)
            ])
        func reading(_ packets: UInt64, at second: Double) -> Reading {
            let count = Count(packets: packets, bytes: packets * 60)
            return Reading(
                taken: Self.taken + second,
                counters: PlaneCounters(
                    verdicts: [
                        .init(name: "FORWARD_L2_DSR", text: "forwarded", count: count),
                        .init(name: "DROP_TRUNCATED", text: "header cut short", count: Count()),
                    ], services: [ServiceID(1): count], backends: [BackendID(7): count]))
        }
        let meter = Meter(reading(12_000, at: 2), since: reading(10_000, at: 0))
        #expect(
            text(CountersReport(meter, of: contents), isWhole: true) == """
                PACKETS   BYTES  PKT/S  BIT/S
                  12000  720000  1.0 k  480 k  FORWARD_L2_DSR: forwarded
                      0       0      0      0  DROP_TRUNCATED: header cut short
                  12000  720000  1.0 k  480 k  received in all

                  12000  720000  1.0 k  480 k  192.168.1.100:80/tcp: arrived
                  12000  720000  1.0 k  480 k    to 192.168.1.101

                rates are those of the last 2.0 s
                """)
    }

    @Test func `counters leave out verdicts that no packet had, and say how many`() {
        func report(_ packets: [UInt64]) -> CountersReport {
            CountersReport(
                verdicts: packets.enumerated().map {
                    .init(
                        name: "V\($0.offset)", text: "v",
                        count: Count(packets: $0.element, bytes: $0.element * 60))
                }, taken: Self.taken)
        }
        #expect(
            text(report([0, 1, 0]), isOnlyReading: true) == """
                PACKETS  BYTES  PKT/S  BIT/S
                      1     60      -      -  V1: v
                      1     60      -      -  received in all

                no packet had 2 other verdicts; --all shows them
                no rates: the tables were read once; --watch has them
                """)
        #expect(text(report([0, 1])).contains("no packet had 1 other verdict; --all shows them"))
    }

    @Test func `status says where the program should run and does not`() {
        var status = status(service("192.168.1.100:80/tcp", []))
        status.interfaces.append(.init(name: "eth2", obstacle: "interface does not exist"))
        status.interfaces.append(.init(name: "eth3", obstacle: "cannot attach: busy\n  end it"))
        #expect(
            text(status).hasPrefix(
                """
                eth1: program 42, native
                eth2: NOT ATTACHED: interface does not exist
                eth3: NOT ATTACHED: cannot attach: busy
                  end it
                rates are those
                """))
    }

    @Test func `counters without a reading before have no rates, and say so`() {
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

                rates are not known yet
                """)
    }

    @Test(
        arguments: [
            (nil, "-"), (0, "0"), (0.04, "0.0"), (12.34, "12.3"), (99.96, "100"), (999, "999"),
            (1000, "1.0 k"), (12_345, "12.3 k"), (1_234_567, "1.2 M"), (2e9, "2.0 G"),
            (4e12, "4.0 T"),
        ] as [(Double?, String)])
    func `a rate has the unit that keeps it short`(perSecond: Double?, shown: String) {
        #expect(rate(perSecond) == shown)
    }
}
