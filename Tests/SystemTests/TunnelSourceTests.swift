import Foundation
import Lab
import Testing

extension TrafficTests {
    /// Where the outer headers say that they come from.
    @Suite(.enabled(if: geteuid() == 0, "namespaces and BPF programs need root"))
    struct TunnelSourceTests {
        @Test(arguments: zip([Way.ipip, .gue], [Family.v4, .v6]))
        func `each flow comes from an address of its own out of the tunnel's prefix`(
            way: Way, family: Family
        ) async throws {
            let prefix = family == .v4 ? "172.16.0.0/16" : "2001:db8:ffff::/64"
            try await withNetwork(way.topology) { network in
                _ = try await network.startServers(way)
                try await network.balance(
                    ServiceText("echo", way, family, "port: 80", "protocol: udp"),
                    node: "tunnel-source: \"\(prefix)\"")
                // With short frames its buffer has room for many.
                let dump = try await network["router"].start([
                    "tcpdump", "-ntl", "--immediate-mode", "-B", "16384", "-s", "128", "-Z", "root",
                    "-i", "balancer", "src net \(prefix)",
                ])
                try await dump.errors.first { $0.contains("listening on") }

                let (flows, rise) = try await network.keepingBooks {
                    try await network.echo(flows: 16, count: 4, size: 64, to: family.target)
                }
                #expect(flows.flatMap(\.failures) == [])
                #expect(rise[way.verdict].packets == 16 * 4)
                try await eventually("tcpdump has seen them all") {
                    dump.output.all.count >= 16 * 4
                }
                let sources = Dictionary(grouping: dump.output.all) { source(of: $0, way) }
                // Two of 16 flows have the same source once in 500 runs, 8 of them never.
                #expect((9...16).contains(sources.count), "\(sources.keys)")
                for (source, packets) in sources {
                    #expect(packets.count.isMultiple(of: 4), "\(source)")
                }
            }
        }

        /// The outer source in a line of tcpdump: `IP 172.16.1.2.49321 > …` if it has a port.
        private func source(of line: String, _ way: Way) -> String {
            let words = line.split(separator: " ")
            let source = words.count > 1 ? String(words[1]) : line
            guard way == .gue, let dot = source.lastIndex(of: ".") else { return source }
            return String(source[..<dot])
        }
    }
}
