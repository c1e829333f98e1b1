import Foundation

/// What a client's requests met; pure.
struct Tally: Hashable, Sendable {
    /// How many requests each backend answered.
    private(set) var answers: [String: Int] = [:]
    /// How many failed, by reason.
    private(set) var failures: [String: Int] = [:]

    var answered: Int { answers.values.reduce(0, +) }
    var failed: Int { failures.values.reduce(0, +) }

    /// Takes a line of `martlet-lab request` into account.
    mutating func add(line: String) throws {
        let visit = try JSONDecoder().decode(Line.self, from: Data(line.utf8))
        if let failure = visit.failure {
            failures[failure, default: 0] += 1
        } else {
            answers[visit.backend ?? "nobody", default: 0] += 1
        }
    }

    static func += (left: inout Tally, right: Tally) {
        left.answers.merge(right.answers, uniquingKeysWith: +)
        left.failures.merge(right.failures, uniquingKeysWith: +)
    }

    /// The part of the answers that came from `backend`.
    func share(of backend: String) -> Double {
        answered == 0 ? 0 : Double(answers[backend] ?? 0) / Double(answered)
    }

    /// Whether `backend` answered about the part that it should.
    ///
    /// Of 400 flows a share is within 12 points of its weight in all but one of 10^5 runs.
    func isFair(to backend: String, share expected: Double) -> Bool {
        answered >= 200 && abs(share(of: backend) - expected) < 0.12
    }

    /// Whether all that failed did so as it does at a server that is gone, whose machine is there.
    var hasFailedAsOfTheDead: Bool { failures.keys.allSatisfy(causesOfDeath.contains) }

    /// `31 connection refused, 2 timeout`, the most frequent first.
    var reasons: String {
        failures.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            .map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    }

    /// `server-a ██████ 31   server-b …   failed 0`, with bars of up to `width` blocks.
    func line(of backends: [String], width: Int) -> String {
        let bars = backends.map { backend in
            let blocks = Int((share(of: backend) * Double(width)).rounded())
            let bar = String(repeating: "█", count: blocks)
            let blanks = String(repeating: "·", count: width - blocks)
            return "\(backend) \(bar)\(blanks) \(padded("\(answers[backend] ?? 0)", to: 4))"
        }
        return (bars + ["failed \(failed)"]).joined(separator: "  ")
    }

    private struct Line: Decodable {
        let backend: String?
        let failure: String?
    }
}

/// The words of `connect` and `read` for a server that has ended.
private let causesOfDeath: Set<String> = [
    "connection refused", "connection reset by peer", "closed before the end of the answer",
]

/// The widest bars with which a line of so many backends fits a terminal of so many columns.
func barWidth(columns: Int, backends: Int) -> Int {
    // Indented by 2; a name of 8, blanks, a number of 4 and the gap for each; "failed 9999".
    let room = (columns - 1 - 2 - "failed 9999".count) / max(1, backends) - (8 + 2 + 4 + 2)
    return min(12, max(1, room))
}
