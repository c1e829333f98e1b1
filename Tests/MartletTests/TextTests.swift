import Balancing
import FoundationEssentials
import Testing

@testable import Control
@testable import martlet

/// The texts of commands that show what a controller said.
struct TextTests {
    private static let utc = TimeZone(secondsFromGMT: 0)!

    private func generation(_ number: Int, ago: Double, _ summary: String) -> Generation {
        Generation(
            number: number, applied: Samples.taken - ago, by: "uid 0 (pid 4711)",
            cause: "martlet.yaml", summary: summary)
    }

    @Test func `history has who, when and what, and a star for what counts`() {
        let history = [generation(12, ago: 60, "1 backend removed"), generation(11, ago: 9000, "")]
        #expect(
            text(history, at: Samples.taken, in: Self.utc) == """
                   NUMBER  WHEN                  AGO  WHO               WHAT
                *      12  2027-01-15 07:59:00  60 s  uid 0 (pid 4711)  \
                martlet.yaml; 1 backend removed
                       11  2027-01-15 05:30:00   2 h  uid 0 (pid 4711)  martlet.yaml
                """)
    }

    @Test func `a change that changes nothing says so`() {
        let present = generation(12, ago: 0, "1 backend removed")
        #expect(text(present, after: 11) == "generation 12 counts: 1 backend removed")
        #expect(text(present, after: 12) == "nothing changed: generation 12 counts")
    }

    @Test func `services have a line each, with what there is to look at`() {
        #expect(
            servicesText(Samples.status) == """
                SERVICE  AT                     SCHEDULER  MODE    SERVING  PKT/S  BIT/S  REMARKS
                web      192.168.1.100:80/tcp   maglev     l2-dsr   2 of 2    200  160 k
                dns      [2001:db8::53]:53/udp  maglev     l2-dsr   0 of 1      0      0  \
                NOBODY SERVES
                """)
        var status = Samples.status
        status.services = []
        #expect(servicesText(status) == "there are no services")
        #expect(backendsText(status, of: []) == "there are no backends")
    }

    @Test func `backends have a line each, and the reason that says most`() {
        var status = Samples.status
        status.services[0].backends[0].drain = Status.Drain(
            since: Samples.taken - 60, flowsLeft: 12, isOver: false)
        status.services[0].backends[1].maintenance = Status.Maintenance(
            since: Samples.taken - 300, reason: "disk is replaced", by: "uid 0")
        let lines = backendsText(status, of: status.services, on: Paper(width: 150))
            .split(separator: "\n")
        #expect(lines.count == 4)
        #expect(lines[1].hasSuffix("  12 flows left") && lines[1].contains("  draining "))
        #expect(lines[2].hasSuffix("  disk is replaced; since 5 min, by uid 0"))
        #expect(lines[2].contains("  maintenance "))
        #expect(lines[3].hasSuffix("  no answer in 500 ms") && lines[3].contains("  down "))
    }

    @Test func `status says what is ordered otherwise, and what was refused`() {
        var status = Samples.status
        status.services[0].backends[0].weightOfFile = 3
        status.services[0].backends[1].maintenance = Status.Maintenance(
            since: Samples.taken - 300, by: "alice")
        status.configuration.refusal = "martlet.yaml:5:10: no"
        status.configuration.refused = Samples.taken - 120
        let shown = text(status)
        #expect(
            shown.hasPrefix(
                """
                generation 7, applied 12 min ago by uid 0: martlet.yaml
                A CHANGE WAS REFUSED 2 min ago, and nothing changed:
                  martlet.yaml:5:10: no
                eth1: program
                """))
        #expect(shown.contains("\n  server-a has weight 1, where the file says 3\n"))
        #expect(
            shown.contains(
                "\n  server-b is maintained: no reason given; since 5 min, by alice\n"))
    }

    @Test func `no text of others speaks to a terminal`() {
        let evil = "a\u{1B}[2J\u{9b}H\u{202e}b\nc"
        let tame = #"a\u001b[2J\u009bH\u202eb; c"#
        var status = Samples.status
        status.configuration.cause = evil
        status.services[0].backends[0].health.reason = evil
        status.services[0].backends[1].maintenance = Status.Maintenance(
            since: Samples.taken, reason: evil, by: evil)
        let event = Event(id: 1, at: Samples.taken, kind: .health, generation: 7, text: evil)
        let generation = Generation(
            number: 8, applied: Samples.taken, by: evil, cause: evil, summary: evil)
        for shown in [
            text(status), backendsText(status, of: status.services), text(event),
            text([generation]), text(generation, after: 7),
        ] {
            #expect(!shown.unicodeScalars.contains { $0 == "\u{1B}" || $0 == "\u{9b}" })
            #expect(!shown.unicodeScalars.contains("\u{202e}"))
            #expect(shown.contains(tame))
        }
        #expect(text(status, on: Paper(isColoured: true)).contains("\u{1B}[32mup\u{1B}[0m"))
    }

    @Test func `a backend that can't be reached is not called up`() {
        var backend = Samples.backend("server-a", 101)
        #expect(state(backend) == StyledText("up", .good))
        backend.way.obstacle = "no route"
        #expect(state(backend) == StyledText("unreachable", .bad))
        #expect(reason(backend) == "no route; HTTP 200")
        backend.health.state = .down
        #expect(state(backend) == StyledText("down", .bad))
        backend.maintenance = Status.Maintenance(since: Samples.taken, by: "alice")
        #expect(state(backend) == StyledText("maintenance", .caution))
    }

    @Test func `flows have their client where it is recorded`() {
        var flow = FlowPage.Flow(
            service: "web", backend: "server-a", state: "established", slot: 7, idle: 3)
        #expect(
            text([flow]) == """
                BACKEND       STATE        SLOT  IDLE
                web/server-a  established     7   3 s
                """)
        (flow.client, flow.nat) = ("198.51.100.7:41000", "192.0.2.1:1024")
        #expect(
            text([flow]).split(separator: "\n").last
                == "web/server-a  established     7   3 s  198.51.100.7:41000  192.0.2.1:1024")
        #expect(text([FlowPage.Flow]()) == "no such flow is recorded")
    }

    @Test func `an event is a line that names what it is about once`() {
        var event = Event(
            id: 1, at: Samples.taken, kind: .health, generation: 7, service: "web",
            backend: "server-a", text: "is down: connection refused")
        func shown() -> String { text(event, in: Self.utc) }
        #expect(
            shown()
                == "2027-01-15 08:00:00  health        web/server-a: is down: connection refused")
        event.text = "web/server-a is down"
        #expect(shown() == "2027-01-15 08:00:00  health        web/server-a is down")
        (event.service, event.backend) = (nil, nil)
        #expect(shown().hasSuffix("  web/server-a is down"))
    }
}
