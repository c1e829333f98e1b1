import Foundation
import Lab
import Testing

extension TrafficTests {
    /// Services that take UDP.
    @Suite(.enabled(if: geteuid() == 0, "namespaces and BPF programs need root"))
    struct DatagramTests {
        @Test(arguments: Way.allCases, Family.allCases)
        func `every datagram of a flow is answered by one backend, fragmented or not`(
            way: Way, family: Family
        ) async throws {
            try await withNetwork(way.topology) { network in
                _ = try await network.startServers(way)
                try await network.balance(
                    ServiceText("echo", way, family, "port: 80", "protocol: udp"))

                // All of so many come to one backend once in a hundred million runs.
                let flows = 32
                let (small, one) = try await network.keepingBooks {
                    try await network.echo(flows: flows, count: 10, size: 64, to: family.target)
                }
                expectOneBackend(small, count: 10)
                #expect(Set(small.flatMap(\.answers.keys)).count > 1)
                #expect(one[way.verdict].packets == UInt64(flows) * 10)

                // Over 1500 bytes it takes 3 packets, and only the first has ports.
                let (large, three) = try await network.keepingBooks {
                    try await network.echo(flows: flows, count: 3, size: 4000, to: family.target)
                }
                expectOneBackend(large, count: 3)
                #expect(Set(large.flatMap(\.answers.keys)).count > 1)
                #expect(three[way.verdict].packets == UInt64(flows) * 3 * 3)
            }
        }

        private func expectOneBackend(_ flows: [EchoRead], count: Int) {
            for flow in flows {
                #expect(flow.failures == [])
                #expect(flow.answers.values.sorted() == [count])
            }
        }
    }
}

/// A line of `martlet-lab echo`.
struct EchoRead: Decodable {
    let flow: Int
    let answers: [String: Int]
    let failures: [String]
}

extension Network {
    /// Sends datagrams from the client; what became of each flow.
    ///
    /// - Parameter limit: How many seconds to wait for an answer; few where none is expected.
    func echo(
        flows: Int, count: Int, size: Int, to target: String, within limit: Double = 5
    ) async throws -> [EchoRead] {
        let output = try await self["client"].attempt(
            [
                try builtProduct("martlet-lab"), "echo", "--to", target, "--flows", "\(flows)",
                "--count", "\(count)", "--size", "\(size)", "--timeout", "\(limit)",
            ], within: .seconds(60))
        let results = try output.stdout.split(separator: "\n").map { line in
            try JSONDecoder().decode(EchoRead.self, from: Data(line.utf8))
        }
        guard results.count == flows else {
            throw Unanswered(description: "\(flows) flows: \(results), \(output.stderr)")
        }
        return results
    }
}
