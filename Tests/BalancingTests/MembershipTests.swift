import Balancing
import FoundationEssentials
import Packets
import Testing

/// A moment, in seconds after the first.
private func second(_ second: Double) -> Date { Date(timeIntervalSince1970: 1e9 + second) }

/// A backend with what is known of it, as letters:
/// `u`p, `d`own, `s`ilent (and down), `?` not asked yet; then `b`ackup, `0` without weight,
/// `n`o next hop, d`r`aining, `m`aintenance, `l`eaving.
private func condition(_ letters: Substring, _ number: Int, since: Double?) -> Membership.Condition
{
    let state: Health.State =
        switch letters.first {
        case "u": .up
        case "?": .unknown
        default: .down
        }
    let rest = letters.dropFirst()
    return Membership.Condition(
        Backend(
            name: "b\(number)", address: .v4(IPv4Address(0x0A00_0001 + UInt32(number))),
            weight: rest.contains("0") ? 0 : 1, isBackup: rest.contains("b")),
        health: state, isSilent: letters.first == "s", hasNextHop: !rest.contains("n"),
        administration: rest.contains("r") ? .draining : rest.contains("m") ? .maintenance : .none,
        isLeaving: rest.contains("l"), servesSince: since.map(second))
}

/// Of the backends in `text`, at the second `moment`.
private func membership(
    _ text: String, panic: Int? = nil, slowStart: Duration? = nil, since: [Double?] = [],
    at moment: Date = second(0), isChecked: Bool = true
) -> Membership {
    let conditions = text.split(separator: " ").enumerated().map {
        condition($0.element, $0.offset, since: since.isEmpty ? nil : since[$0.offset])
    }
    let service = Service(
        name: "web", vip: VIP(.v4(IPv4Address(0xC000_0201))), ports: Ports(80), forwarding: .ipip,
        slowStart: slowStart, panicThreshold: panic,
        healthCheck: isChecked ? HealthCheck(probe: .tcp, port: 80) : nil,
        backends: conditions.map(\.backend))
    return Membership(of: service, conditions, at: moment)
}

/// A letter for each backend: `+` serves, `-` does not, `x` does not and is lost, `!` serves and is
/// lost; then `P` if the service panics and `B` if the backups serve.
private func judged(_ membership: Membership) -> String {
    let letters = membership.standings.map { standing in
        switch (standing.readiness, standing.isLost) {
        case (Membership.fully, false): "+"
        case (0, false): "-"
        case (0, true): "x"
        default: "!"
        }
    }
    return letters.joined() + (membership.isPanicking ? " P" : "")
        + (membership.usesBackup ? " B" : "")
}

struct MembershipTests {
    @Test(arguments: [
        // Who may get new flows.
        ("u u d", "++-"), ("? u", "-+"), ("? ?", "--"), ("d d", "--"), ("", ""),
        ("un u", "-+"), ("ur u", "-+"), ("um u", "-+"), ("u0 u", "-+"), ("ul u", "-+"),
        ("ur ur", "--"), ("ul", "-"), ("un", "-"), ("urnl0", "-"),
        // Who is dead: who is silent though there is a way to it, whatever else is with it.
        ("s u", "x+"), ("s s", "xx"), ("d s", "-x"), ("sn u", "x+"), ("dn u", "-+"),
        ("sr u", "x+"), ("sm u", "x+"), ("sl u", "x+"), ("s0 u", "x+"), ("sb u", "x+"),
    ])
    func `who is up, in reach, wanted and of some weight gets flows; who is silent is lost`(
        backends: String, expected: String
    ) {
        #expect(judged(membership(backends)) == expected)
    }

    @Test(arguments: [
        ("u ub", "+-"), ("d ub", "-+ B"), ("d d ub ub", "--++ B"), ("d u ub", "-+-"),
        ("s ub", "x+ B"), ("ur ub", "-+ B"), ("un ub", "-+ B"), ("u0 ub", "-+ B"),
        ("ul ub", "-+ B"), ("ub", "+ B"),
        // Those among the backups that can.
        ("d ub db", "-+- B"), ("d ub urb", "-+- B"), ("d ub sb", "-+x B"), ("d db", "--"),
        ("d ub0", "--"), ("d ubn", "--"), ("d ?b", "--"),
        // At the start it is not known yet that nobody else can; later, others are.
        ("? ? ub", "--+ B"), ("? d ub", "--+ B"), ("?r ub", "-+ B"), ("?n ub", "-+ B"),
        ("? u ub", "-+-"),
    ])
    func `backups get flows while nobody else can`(backends: String, expected: String) {
        #expect(judged(membership(backends)) == expected)
    }

    @Test(
        arguments: [
            // The threshold itself is no reason yet.
            ("u u d d", 50, "++--"), ("u d d", 50, "+++ P"), ("u d d d", 50, "++++ P"),
            ("u d d", 33, "+--"), ("u d d", 34, "+++ P"), ("u u d", 100, "+++ P"),
            ("u u u", 100, "+++"), ("d d", 1, "++ P"), ("d d", nil, "--"), ("d", 0, "-"),
            // Nobody is lost then, and flows may go to those that are silent.
            ("u s s", 50, "+++ P"), ("u u s", 50, "++x"),
            // Who was not asked yet may be up, to begin with; and serves when it comes to that.
            ("? ? ?", 100, "---"), ("? d", 50, "--"), ("? d d", 50, "+++ P"),
            // It takes more than health to be of use.
            ("u dn dr dl d0", 50, "+----"), ("u d dn dr", 51, "++-- P"), ("ur d", 50, "-+ P"),
            ("ur un", 100, "--"), ("", 100, ""),
            // Backups neither count nor serve; but they are better than dead ones.
            ("u d d ub", 50, "+++- P"), ("u db db", 50, "+--"), ("d d ub", 50, "--+ B"),
            ("s s ub", 50, "xx+ B"), ("d d db", 50, "++- P"), ("d d sb", 50, "++- P"),
        ] as [(String, Int?, String)])
    func `with too few up, health is ignored, and nothing else`(
        backends: String, threshold: Int?, expected: String
    ) {
        #expect(judged(membership(backends, panic: threshold)) == expected)
    }

    @Test func `nobody is lost whom nobody asks`() {
        #expect(judged(membership("s u", isChecked: false)) == "-+")
    }

    @Test(
        arguments: [
            // Over 30 s, 15 steps of 2 s after the first.
            (0, 16, 2), (1.9, 16, 2), (2, 32, 4), (3.9, 32, 4), (14, 128, 16), (28, 240, 30),
            (29.9, 240, 30), (30, 256, nil), (1000, 256, nil),
            // Somebody has set the clock back.
            (-5, 16, 2),
        ] as [(Double, UInt16, Double?)])
    func `who joins starts with a sixteenth and has its share in time`(
        moment: Double, readiness: UInt16, next: Double?
    ) {
        let found = membership(
            "u u", slowStart: .seconds(30), since: [-100, 0], at: second(moment))
        #expect(found.standings.map(\.readiness) == [256, readiness])
        #expect(found.nextChange == next.map(second))
    }

    @Test(arguments: [Duration.seconds(1), .seconds(7), .milliseconds(33_333), .seconds(3600)])
    func `each look at the named moment finds the next step, sixteen in all`(duration: Duration) {
        var (moment, found) = (second(0.1), [UInt16]())
        while true {
            let now = membership("u u", slowStart: duration, since: [nil, 0.1], at: moment)
            found.append(now.standings[1].readiness)
            guard let next = now.nextChange, found.count < 20 else { break }
            moment = next
        }
        #expect(found == (1...16).map { UInt16($0 * 16) })
    }

    @Test(
        arguments: [
            // The first of all, and those that begin with it.
            ("u", [0], 0, [256]), ("u u", [0, 0.5], 1, [256, 256]),
            ("u u u", [0, 29, 30], 30, [256, 256, 16]), ("u u", [0, 29], 35, [256, 256]),
            // Of whom nothing else is known has served for ever, and all did if all have.
            ("u u", [nil, nil], 0, [256, 256]), ("u u", [nil, 0], 0, [256, 16]),
            // Only those that serve now are there to bear the flows.
            ("d u", [-100, 0], 0, [0, 256]), ("ur u", [-100, 0], 0, [0, 256]),
            ("d u u", [-100, -60, 0], 0, [0, 256, 16]),
            // All others are lost to it in the middle of its start.
            ("d u u", [-100, 0, 5], 10, [0, 256, 256]),
            // Backups give way at once, and step in at once.
            ("u ub", [0, -100], 0, [256, 0]), ("d ub", [-100, 0], 0, [0, 256]),
            ("d ub ub", [-100, -100, 0], 0, [0, 256, 16]),
        ] as [(String, [Double?], Double, [UInt16])])
    func `a slow start takes others who have served for long`(
        backends: String, since: [Double?], moment: Double, readiness: [UInt16]
    ) {
        let found = membership(
            backends, slowStart: .seconds(30), since: since, at: second(moment))
        #expect(found.standings.map(\.readiness) == readiness)
        #expect((found.nextChange != nil) == readiness.contains(16))
    }

    @Test func `in panic nobody starts slowly`() {
        let found = membership(
            "u u d d d", panic: 50, slowStart: .seconds(30), since: [-100, 0, 0, 0, 0])
        #expect(judged(found) == "+++++ P")
        #expect(found.nextChange == nil)
    }

    @Test func `without a slow start everybody serves fully at once`() {
        let found = membership("u u", since: [-100, 0])
        #expect(judged(found) == "++")
        #expect(found.nextChange == nil)
    }
}
