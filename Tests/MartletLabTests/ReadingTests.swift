import Testing

@testable import martlet_lab

struct ReadingTests {
    private static let before = StatusRead(
        total: 8, slots: ["server-a": 2, "server-b": 4, "server-c": 2],
        states: ["server-b": "up"], reasons: [:])

    private func after(_ a: Int, _ b: Int, _ c: Int, of total: Int = 8) -> StatusRead {
        StatusRead(
            total: total, slots: ["server-a": a, "server-b": b, "server-c": c],
            states: ["server-b": "down"], reasons: [:])
    }

    @Test func `counters are read by name`() throws {
        let counters = try CountersRead(
            json: """
                {"services":[{"traffic":{"packets":7,"bytes":9},"backends":[
                    {"name":"server-a","traffic":{"packets":3,"bytes":4}},
                    {"name":"server-b","traffic":{"packets":4,"bytes":5}}]}]}
                """)
        #expect(counters == CountersRead(arrived: 7, sent: ["server-a": 3, "server-b": 4]))
        #expect(
            try CountersRead(json: #"{"services":[]}"#) == CountersRead(arrived: nil, sent: [:]))
        #expect(throws: (any Error).self) { try CountersRead(json: "no controller") }
    }

    @Test func `status is read by name`() throws {
        let status = try StatusRead(
            json: """
                {"services":[{"slots":8,"backends":[
                    {"name":"server-b","slots":0,
                     "health":{"state":"down","reason":"connection refused"}}]}]}
                """)
        #expect(status.total == 8)
        #expect(status.hasLeft("server-b"))
        #expect(status.reasons == ["server-b": "connection refused"])
    }

    @Test func `a server has left when it is down and owns nothing, not before`() {
        #expect(after(4, 0, 4).hasLeft("server-b"))
        #expect(!after(3, 1, 4).hasLeft("server-b"))
        #expect(!Self.before.hasLeft("server-b"))
        #expect(!after(4, 0, 4).hasLeft("server-x"))
    }

    @Test func `an inheritance is whole, and takes from no survivor`() {
        #expect(after(4, 0, 4).hasInherited(from: "server-b", since: Self.before))
        #expect(after(6, 0, 2).hasInherited(from: "server-b", since: Self.before))
        #expect(!after(7, 0, 1).hasInherited(from: "server-b", since: Self.before))
        #expect(!after(4, 0, 3).hasInherited(from: "server-b", since: Self.before))
        #expect(!after(3, 1, 4).hasInherited(from: "server-b", since: Self.before))
        #expect(!after(8, 0, 8, of: 16).hasInherited(from: "server-b", since: Self.before))
        #expect(!after(4, 0, 4).hasInherited(from: "server-x", since: Self.before))
    }

    @Test func `a claim that does not hold is remembered, and shown as such`() {
        var claims = Claims()
        #expect(claims.check("water is wet", true) == "  ✓ water is wet")
        #expect(claims.broken == [])
        #expect(claims.check("fire is cold", false) == "  ✗ NOT TRUE: fire is cold")
        #expect(claims.broken == ["fire is cold"])
    }
}
