import Foundation
import Lab
import Testing

/// What the balancer says of its packets, and how many its cards say that there were.
struct Books {
    let counters: CountersRead
    /// What arrived on its cards since they exist, by the counts of the driver.
    let arrived: UInt64

    /// Packets that have a verdict.
    var judged: UInt64 { counters.verdicts.map(\.traffic.packets).reduce(0, +) }

    func amount(of verdict: String) -> Amount {
        counters.verdicts.first { $0.name == verdict }?.traffic.amount ?? Amount()
    }
}

/// How much every verdict rose from one reading to another.
struct Rise {
    private let earlier: Books
    private let later: Books

    init(from earlier: Books, to later: Books) {
        self.earlier = earlier
        self.later = later
    }

    subscript(verdict: String) -> Amount {
        later.amount(of: verdict) - earlier.amount(of: verdict)
    }

    /// Every verdict there is.
    var names: [String] { later.counters.verdicts.map(\.name) }

    /// Packets that got a verdict.
    var judged: UInt64 { later.judged - earlier.judged }

    /// Packets that the driver counted.
    var arrived: UInt64 { later.arrived - earlier.arrived }
}

extension Amount {
    static func - (left: Self, right: Self) -> Self {
        Amount(packets: left.packets - right.packets, bytes: left.bytes - right.bytes)
    }
}

/// Tests that send much through the balancer, one after the other, and count what it does.
@Suite(.serialized) struct TrafficTests {}

extension Network {
    /// Runs `body`, and expects that every packet that came to the balancer got one verdict.
    ///
    /// - Returns: What `body` does, and how much each verdict rose.
    func keepingBooks<Result>(
        isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Result
    ) async throws -> (result: Result, rise: Rise) {
        let earlier = try await readBooks()
        let result = try await body()
        let later = try await readBooks()
        let rise = Rise(from: earlier, to: later)
        #expect(rise.judged == rise.arrived, "not one verdict for each packet")
        #expect(later.judged == later.counters.received.packets)
        return (result, rise)
    }

    /// The counters and the driver's at a moment when nothing arrives.
    private func readBooks(isolation: isolated (any Actor)? = #isolation) async throws -> Books {
        // The driver says `rx_queue_0_xdp_packets: 12` of each queue, with an XDP program or not.
        let script = """
            "$0" counters --json
            echo /
            for card in $(ip -o link show type veth | cut -d' ' -f2 | cut -d@ -f1); do
                ethtool -S "$card" | sed -n 's/^ *rx_queue_[0-9]*_xdp_packets: *//p'
            done
            echo /
            "$0" counters --json
            """
        var books: Books?
        try await eventually("nothing arrives for a moment") {
            let output = try await self["balancer"].run(
                ["sh", "-ec", script, try builtProduct("martlet")])
            let parts = output.stdout.components(separatedBy: "\n/\n")
            try #require(parts.count == 3)
            let before = try JSONDecoder().decode(CountersRead.self, from: Data(parts[0].utf8))
            let after = try JSONDecoder().decode(CountersRead.self, from: Data(parts[2].utf8))
            guard before.received.packets == after.received.packets else { return false }
            let arrived = parts[1].split(separator: "\n").compactMap { UInt64($0) }
            try #require(!arrived.isEmpty, "the driver tells no count")
            books = Books(counters: before, arrived: arrived.reduce(0, +))
            return true
        }
        return try #require(books)
    }
}
