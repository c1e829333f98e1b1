import Foundation
import Lab
import Testing

extension TrafficTests {
    /// Where all links carry 1500 bytes, what a client sends is too large once it is encapsulated:
    /// the balancer tells it so, and it sends less.
    @Suite(.enabled(if: geteuid() == 0, "namespaces and BPF programs need root"))
    struct PathMTUTests {
        /// Inside, outside, and what is left of 1500 bytes.
        static let tunnels: [Tunnel] = [
            Tunnel(.ipip, .v4, in: .v4, leaves: 1480), Tunnel(.ipip, .v6, in: .v6, leaves: 1460),
            Tunnel(.gue, .v4, in: .v6, leaves: 1452), Tunnel(.gue, .v6, in: .v4, leaves: 1472),
        ]

        @Test(arguments: tunnels)
        func `a client that is told so uploads in the largest packets that fit`(
            tunnel: Tunnel
        ) async throws {
            try await withNetwork(.routed(mtu: 1500)) { network in
                let (way, family) = (tunnel.way, tunnel.inner)
                _ = try await network.startServers(way, options: ["--uploads", "/run/upload"])
                try await network.balance(
                    ServiceText("web", way, family, outer: tunnel.outer, "port: 80"))
                #expect(try await network.learntMTU(of: family) == nil)

                let (upload, rise) = try await network.keepingBooks {
                    try await network.upload(20_000_000, to: family.target, of: family)
                }
                #expect(upload.kept == upload.sent)
                #expect(upload.sent.bytes == 20_000_000)
                #expect(rise["REPLY_TOO_BIG"].packets > 0)
                #expect(rise["DROP_TOO_BIG"].packets == 0)
                #expect(try await network.learntMTU(of: family) == tunnel.room)
                // Few are not full: handshake, end, acknowledgements of the answer.
                let forwarded = rise[way.verdict]
                #expect(forwarded.bytes / forwarded.packets > UInt64(tunnel.room) * 9 / 10)
            }
        }

        @Test(arguments: Family.allCases)
        func `a datagram of the size of the link is refused once, and then fragmented`(
            family: Family
        ) async throws {
            try await withNetwork(.routed(mtu: 1500)) { network in
                _ = try await network.startServers(.ipip)
                try await network.balance(
                    ServiceText("echo", .ipip, family, "port: 80", "protocol: udp"))
                let size = 1500 - (family == .v4 ? 20 : 40) - 8
                let (refused, once) = try await network.keepingBooks {
                    try await network.echo(flows: 1, count: 1, size: size, to: family.target)
                }
                #expect(refused[0].failures == ["message too long"])
                #expect(once["REPLY_TOO_BIG"].packets == 1)
                #expect(once["FORWARD_IPIP"].packets == 0)
                let (answered, then) = try await network.keepingBooks {
                    try await network.echo(flows: 4, count: 2, size: size, to: family.target)
                }
                #expect(answered.flatMap(\.failures) == [])
                #expect(answered.flatMap(\.answers.values) == [2, 2, 2, 2])
                #expect(then["REPLY_TOO_BIG"].packets == 0)
                #expect(then["FORWARD_IPIP"].packets == 2 * 4 * 2)
            }
        }
    }
}

/// A way through a tunnel.
struct Tunnel: CustomTestStringConvertible {
    let way: Way
    let inner: Family
    let outer: Family
    /// The largest packet that fits, in bytes.
    let room: Int

    init(_ way: Way, _ inner: Family, in outer: Family, leaves room: Int) {
        self.way = way
        self.inner = inner
        self.outer = outer
        self.room = room
    }

    var testDescription: String { "\(way.rawValue): \(inner) in \(outer)" }
}

extension Network {
    /// The MTU of the path to the VIP that the client's kernel was told; nil if nobody told one.
    fileprivate func learntMTU(of family: Family) async throws -> Int? {
        struct Route: Decodable { let metrics: [Metrics]? }
        struct Metrics: Decodable { let mtu: Int? }
        let routes: [Route] = try await self["client"].decode(
            ["ip", "-j", "route", "get", family.rawValue])
        return routes.first?.metrics?.compactMap(\.mtu).first
    }
}
