import Testing

@testable import martlet_lab

struct AccountsTests {
    private static let names = ["server-a", "server-b"]
    private static let right = Accounts(
        earlier: CountersRead(arrived: 90, sent: ["server-a": 60, "server-b": 30]),
        counters: CountersRead(arrived: 90, sent: ["server-a": 60, "server-b": 30]),
        packets: ["client": 90, "server-a": 60, "server-b": 30],
        answered: ["server-a": 10, "server-b": 5], received: ["server-a": 10, "server-b": 5],
        lost: 0, untold: [:])

    private func broken(_ change: (inout Accounts) -> Void) -> [String] {
        var accounts = Self.right
        change(&accounts)
        return accounts.claims(of: Self.names).filter { !$0.holds }.map(\.claim)
    }

    @Test func `accounts that agree have nothing wrong`() {
        #expect(broken { _ in } == [])
        #expect(Self.right.claims(of: Self.names).count == 6)
    }

    @Test func `a packet that somebody did not see is found, and where`() {
        #expect(
            broken { $0.packets["client"] = 91 } == [
                "martlet received every packet that the client sent"
            ])
        #expect(
            broken { $0.packets["server-b"] = 29 } == [
                "server-b got every packet that martlet sent it"
            ])
        #expect(
            broken {
                $0.counters.sent["server-a"] = 59
                $0.packets["server-a"] = 59
            } == ["martlet forwarded every packet of the service"])
    }

    @Test func `what came as tcpdump ended is told apart from what it missed`() {
        // tcpdump saw 90 at the client: between two readings, or before the first.
        let late = broken {
            $0.counters.arrived = 91
            $0.counters.sent["server-b"] = 31
        }
        #expect(late == [])
        let missed = broken {
            $0.earlier.arrived = 91
            $0.counters.arrived = 91
            $0.earlier.sent["server-b"] = 31
            $0.counters.sent["server-b"] = 31
        }
        #expect(missed.count == 2)
        var accounts = Self.right
        accounts.counters.arrived = 91
        let said = accounts.claims(of: Self.names)[0].claim
        #expect(said.hasSuffix("but for 1 since tcpdump ended"))
    }

    @Test func `who counted nothing confirms nothing`() {
        let empty = Accounts(
            earlier: CountersRead(arrived: nil, sent: [:]),
            counters: CountersRead(arrived: nil, sent: [:]), packets: [:], answered: [:],
            received: [:], lost: 8, untold: ["server-a": 8])
        #expect(empty.claims(of: Self.names).allSatisfy { !$0.holds })
        let zero = Accounts(
            earlier: CountersRead(arrived: 0, sent: ["server-a": 0, "server-b": 0]),
            counters: CountersRead(arrived: 0, sent: ["server-a": 0, "server-b": 0]),
            packets: ["client": 0, "server-a": 0, "server-b": 0],
            answered: ["server-a": 0, "server-b": 0], received: ["server-a": 0, "server-b": 0],
            lost: 0, untold: [:])
        #expect(zero.claims(of: Self.names).allSatisfy { !$0.holds })
    }

    @Test(arguments: [(10, 0, true), (11, 1, true), (11, 0, false), (12, 1, false), (9, 1, false)])
    func `an answer is missing at the client only if it was cut`(
        answered: Int, lost: Int, holds: Bool
    ) {
        let wrong = broken {
            $0.answered["server-a"] = answered
            $0.lost = lost
        }
        #expect(wrong.isEmpty == holds)
    }

    @Test func `only a server that was killed may count less than the client`() {
        #expect(broken { $0.answered["server-b"] = 3 }.count == 1)
        let killed: (inout Accounts) -> Void = {
            $0.answered["server-b"] = 3
            $0.untold = ["server-b": 2]
        }
        #expect(broken(killed) == [])
        #expect(
            broken {
                killed(&$0)
                $0.answered["server-b"] = 2
            }.count == 1)
    }

    @Test func `answers are said to be as many only if they are`() {
        func said(_ answered: Int) -> String {
            var accounts = Self.right
            accounts.answered["server-a"] = answered
            return accounts.claims(of: Self.names)[2].claim
        }
        #expect(said(10) == "server-a gave as many answers as the client had from it")
        #expect(said(11).hasSuffix("and 1 that were cut on their way"))
        #expect(said(8).hasSuffix("2 after it was last asked"))
    }

    @Test func `the table has what each counted`() {
        #expect(
            Self.right.table(of: Self.names) == """
                                packets  packets  answers  answers
                counted by      martlet  tcpdump   server   client
                client sent          90       90
                server-a got         60       60       10       10
                server-b got         30       30        5        5
                """)
    }
}
