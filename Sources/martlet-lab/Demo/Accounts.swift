/// What everybody counted, to be held against what Martlet says; pure.
struct Accounts: Hashable, Sendable {
    /// What `martlet counters` said just before tcpdump ended.
    var earlier: CountersRead
    /// What it said just after; what tcpdump saw lies between the two.
    var counters: CountersRead
    /// Packets for the VIP that tcpdump saw, by host.
    var packets: [String: Int]
    /// Requests that each server says it answered.
    var answered: [String: Int]
    /// Answers that the client had from each.
    var received: [String: Int]
    /// How many answers may not have come to the client: they were cut, or late.
    var lost: Int
    /// How many answers a server may have told nobody about, having been killed meanwhile.
    var untold: [String: Int]

    /// One line for each who counts.
    func table(of backends: [String]) -> String {
        let heads = [
            row("", ["packets", "packets", "answers", "answers"]),
            row("counted by", ["martlet", "tcpdump", "server", "client"]),
        ]
        let client = row(
            "client sent", [text(counters.arrived), text(packets["client"])])
        let rows = backends.map { name in
            row(
                "\(name) got",
                [counters.sent[name], packets[name], answered[name], received[name]].map(text))
        }
        return (heads + [client] + rows).joined(separator: "\n")
    }

    /// What has to be true of them, and whether it is.
    func claims(of backends: [String]) -> [(claim: String, holds: Bool)] {
        var claims = [
            confirmed(
                "martlet received every packet that the client sent",
                packets["client"], earlier.arrived, counters.arrived)
        ]
        for name in backends {
            claims.append(
                confirmed(
                    "\(name) got every packet that martlet sent it",
                    packets[name], earlier.sent[name], counters.sent[name]))
            claims.append((agreement(on: name), doAgree(on: name)))
        }
        let sent = counters.sent.values.reduce(0, +)
        claims.append(
            ("martlet forwarded every packet of the service", areSame(counters.arrived, sent)))
        return claims
    }

    /// A server whose connection was cut repeats itself for minutes, and the client refuses each
    /// time: a packet for the VIP may come between the end of tcpdump and the last reading.
    private func confirmed(
        _ claim: String, _ seen: Int?, _ earlier: Int?, _ later: Int?
    ) -> (claim: String, holds: Bool) {
        guard let seen, let earlier, let later, seen > 0, earlier <= seen, seen < later else {
            return (claim, areSame(seen, later))
        }
        return ("\(claim), but for \(later - seen) since tcpdump ended", true)
    }

    /// Nothing counted is nothing seen: two who have no number, or 0, don't confirm each other.
    private func areSame(_ one: Int?, _ other: Int?) -> Bool {
        one == other && (one ?? 0) > 0
    }

    /// What there is to say of the answers: no more than is true.
    private func agreement(on name: String) -> String {
        let more = (answered[name] ?? 0) - (received[name] ?? 0)
        return switch more {
        case 1...: "\(name) gave all the client's answers, and \(more) that were cut on their way"
        case ..<0: "\(name) gave all the client's answers, \(-more) after it was last asked"
        default: "\(name) gave as many answers as the client had from it"
        }
    }

    private func doAgree(on name: String) -> Bool {
        guard let answered = answered[name], let received = received[name], received > 0 else {
            return false
        }
        return (received - (untold[name] ?? 0)...received + lost).contains(answered)
    }

    private func row(_ title: String, _ cells: [String]) -> String {
        let start = title + String(repeating: " ", count: max(0, 14 - title.count))
        return start + cells.map { padded($0, to: 9) }.joined()
    }

    private func text(_ count: Int?) -> String { count.map { "\($0)" } ?? "-" }
}

/// The text with blanks before it.
func padded(_ text: String, to width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
}
