import Testing

@testable import martlet_lab

struct TallyTests {
    private func tally(_ answers: [String: Int], _ failures: [String: Int] = [:]) throws -> Tally {
        var tally = Tally()
        for (backend, count) in answers {
            for _ in 0..<count { try tally.add(line: #"{"backend":"\#(backend)","n":1}"#) }
        }
        for (failure, count) in failures {
            for _ in 0..<count { try tally.add(line: #"{"failure":"\#(failure)","n":1}"#) }
        }
        return tally
    }

    @Test func `answers and failures are counted apart, and no line is lost`() throws {
        let tally = try tally(["server-a": 3, "server-b": 1], ["timeout": 2])
        #expect(tally.answered == 4)
        #expect(tally.failed == 2)
        #expect(tally.share(of: "server-a") == 0.75)
        #expect(tally.share(of: "server-c") == 0)
    }

    @Test func `an answer that names nobody is nobody's, and a line cut short is refused`() throws {
        var tally = Tally()
        try tally.add(line: #"{"milliseconds":0.8,"n":1}"#)
        #expect(tally.answers == ["nobody": 1])
        #expect(throws: (any Error).self) { try tally.add(line: #"{"backend":"server-a""#) }
    }

    @Test func `the share of no answers is none`() { #expect(Tally().share(of: "server-a") == 0) }

    @Test(arguments: [(153, true), (200, true), (247, true), (152, false), (248, false)])
    func `a share is fair within 12 points`(count: Int, isFair: Bool) throws {
        let tally = try tally(["server-a": 400 - count, "server-b": count])
        #expect(tally.isFair(to: "server-b", share: 0.5) == isFair)
    }

    @Test func `a handful of answers proves no share`() throws {
        let few = try tally(["server-a": 50, "server-b": 50])
        #expect(!few.isFair(to: "server-b", share: 0.5))
    }

    @Test(arguments: [
        ("connection refused", true), ("closed before the end of the answer", true),
        ("timeout", false), ("status 503", false),
    ])
    func `what the dead cause is told from what they don't`(
        failure: String, isOfTheDead: Bool
    ) throws {
        #expect(
            try tally([:], ["connection reset by peer": 2, failure: 1]).hasFailedAsOfTheDead
                == isOfTheDead)
    }

    @Test func `reasons come by number`() throws {
        let tally = try tally([:], ["timeout": 1, "connection refused": 2])
        #expect(tally.reasons == "2 connection refused, 1 timeout")
    }

    @Test func `the bars show the shares`() throws {
        let line = try tally(["server-a": 30, "server-b": 10], ["timeout": 1])
            .line(of: ["server-a", "server-b"], width: 4)
        #expect(line == "server-a ███·   30  server-b █···   10  failed 1")
    }

    @Test(arguments: [(1, 1), (60, 1), (80, 6), (100, 12), (500, 12)])
    func `the line fits the terminal, if any does`(columns: Int, width: Int) throws {
        #expect(barWidth(columns: columns, backends: 3) == width)
        let busy = try tally(
            ["server-a": 1000, "server-b": 1000, "server-c": 1000], ["timeout": 1000])
        let line = busy.line(of: ["server-a", "server-b", "server-c"], width: width)
        if columns >= 80 { #expect(2 + line.count < columns) }
    }
}
