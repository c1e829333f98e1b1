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

    /// `server-a ██████ 31   server-b …   failed 0`, with bars of up to `width` blocks.
    func line(of backends: [String], width: Int = 12) -> String {
        let bars = backends.map { backend in
            let blocks = Int((share(of: backend) * Double(width)).rounded())
            let bar = String(repeating: "█", count: blocks)
            let blanks = String(repeating: "·", count: width - blocks)
            return "\(backend) \(bar)\(blanks) \(padded(answers[backend] ?? 0))"
        }
        return (bars + ["failed \(failed)"]).joined(separator: "  ")
    }

    private func padded(_ number: Int) -> String {
        let text = String(number)
        return String(repeating: " ", count: max(0, 4 - text.count)) + text
    }

    private struct Line: Decodable {
        let backend: String?
        let failure: String?
    }
}
