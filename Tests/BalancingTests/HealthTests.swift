import Balancing
import FoundationEssentials
import Testing

struct HealthTests {
    private static let good = ProbeResult(isSuccess: true, finding: "HTTP 200", latency: .zero)
    private static let bad = ProbeResult(isSuccess: false, finding: "refused", latency: .zero)

    /// Feeds `results` ("+" and "-") to a machine and returns its states, one after each.
    private func states(from state: Health.State, _ results: String) -> [Health.State] {
        var health = Health(state: state, because: "start", since: .distantPast)
        return results.map {
            _ = health.take($0 == "+" ? Self.good : Self.bad, at: .distantPast, rise: 2, fall: 3)
            return health.state
        }
    }

    @Test func `the first result of an unknown backend decides at once`() {
        #expect(states(from: .unknown, "+") == [.up])
        #expect(states(from: .unknown, "-") == [.down])
    }

    @Test func `it takes fall failures in a row to go down and rise successes to come up`() {
        #expect(states(from: .up, "---++") == [.up, .up, .down, .down, .up])
    }

    @Test func `a result that agrees with the state begins the count anew`() {
        #expect(states(from: .up, "--+--") == [.up, .up, .up, .up, .up])
        #expect(states(from: .down, "+-+") == [.down, .down, .down])
    }

    @Test func `a transition says from where to where and why, and when is kept`() {
        var health = Health(state: .up, because: "start", since: .distantPast)
        let (first, second) = (Date(timeIntervalSince1970: 1), Date(timeIntervalSince1970: 2))
        #expect(health.take(Self.bad, at: first, rise: 1, fall: 2) == nil)
        #expect(health.since == .distantPast)
        let transition = health.take(Self.bad, at: second, rise: 1, fall: 2)
        #expect(transition?.from == .up)
        #expect(transition?.to == .down)
        #expect(transition?.cause == "refused")
        #expect(health.since == second)
    }

    @Test(arguments: [
        // Answers: a success (+), a failure (-), silence (.).
        ("...", "  s"), ("..-", "   "), ("-..", "   "), ("-...", "   s"), ("...-", "  s "),
        ("...-...", "  s   s"), ("....", "  ss"), ("...+.", "  s  "), ("...++", "  s  "),
        ("...+...", "  s   s"), ("---", "   "), ("---...", "     s"),
    ])
    func `a backend is silent that is down after fall probes in a row without an answer`(
        results: String, expected: String
    ) {
        for state in [Health.State.up, .unknown] {
            var health = Health(state: state, because: "start", since: .distantPast)
            #expect(!health.isSilent)
            let found = results.map { letter in
                let result = ProbeResult(
                    isSuccess: letter == "+", isAnswered: letter != ".", finding: "",
                    latency: .zero)
                _ = health.take(result, at: .distantPast, rise: 2, fall: 3)
                return health.isSilent ? "s" : " "
            }
            #expect(found.joined() == expected, "from \(state)")
        }
    }

    @Test func `the latency is at once that of a slow probe, and then comes down by eighths`() {
        var health = Health(state: .up, because: "start", since: .distantPast)
        let after = { (milliseconds: Int, isSuccess: Bool) -> UInt32? in
            let result = ProbeResult(
                isSuccess: isSuccess, finding: "", latency: .milliseconds(milliseconds))
            _ = health.take(result, at: .distantPast, rise: 2, fall: 3)
            return health.latency
        }
        #expect(health.latency == nil)
        #expect(after(500, false) == nil)
        #expect(after(10, true) == 10_000)
        #expect(after(18, true) == 18_000)
        #expect(after(10, true) == 17_000)
        #expect(after(500, false) == 17_000)
        #expect(after(1, true) == 15_000)
        #expect(after(20, true) == 20_000)
        #expect((0..<200).map { _ in after(1, true) }.last == 1000)
        // None is below what the least cost can be told from.
        #expect((0..<200).map { _ in after(0, true) }.last == 1)
        #expect(after(10_000_000, true) == .max)
    }
}
