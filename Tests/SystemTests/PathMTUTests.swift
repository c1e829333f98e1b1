import Foundation
import Lab
import Testing

extension TrafficTests {
    /// Where a link carries less than a host believes, it is told so, and sends less: a client by
    /// the balancer, for whose tunnel its packets are too large, and a backend through it.
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
                #expect(try await network.learntMTU(to: family.rawValue) == nil)

                let (upload, rise) = try await network.keepingBooks {
                    try await network.upload(20_000_000, to: family.target)
                }
                #expect(upload.kept == upload.sent)
                #expect(upload.sent.bytes == 20_000_000)
                #expect(rise["REPLY_TOO_BIG"].packets > 0)
                #expect(rise["DROP_TOO_BIG"].packets == 0)
                #expect(try await network.learntMTU(to: family.rawValue) == tunnel.room)
                // Few are not full: handshake, end, acknowledgements of the answer.
                let forwarded = rise[way.verdict]
                #expect(forwarded.bytes / forwarded.packets > UInt64(tunnel.room) * 9 / 10)
            }
        }

        /// The router's link to one server is narrower than the balancer's, and the route says so.
        @Test(arguments: Family.allCases)
        func `what a route takes counts for the backends behind it, and when it changes`(
            family: Family
        ) async throws {
            let outer = family == .v4 ? 20 : 40
            try await withNetwork(.routed()) { network in
                _ = try await network.startServers(.ipip, options: ["--uploads", "/run/upload"])
                let (subnet, gateway) =
                    family == .v4
                    ? ("192.168.101.0/24", "192.168.1.254") : ("fd00:101::/64", "fd00:1::fe")
                try await network["router"].run(["ip", "link", "set", "server-a", "mtu", "1500"])
                func set(mtu: String) async throws {
                    try await network["balancer"].run(
                        ["ip", "route", "replace", subnet, "via", gateway, "mtu", mtu])
                }
                try await set(mtu: "1500")
                try await network.balance(
                    ServiceText("web", .ipip, family, only: ["server-a"], "port: 80"),
                    ServiceText(
                        "echo", .ipip, family, only: ["server-b"], "port: 80", "protocol: udp"))

                let (answered, others) = try await network.keepingBooks {
                    try await network.echo(
                        flows: 1, count: 2, size: 1500 - outer - 8, to: family.target)
                }
                #expect(answered.map(\.answers) == [["server-b": 2]])
                #expect(others["FORWARD_IPIP"].packets == 2, "whole: its links carry 1600")

                let (upload, rise) = try await network.keepingBooks {
                    try await network.upload(5_000_000, to: family.target)
                }
                #expect(upload.kept == upload.sent)
                #expect(upload.sent.bytes == 5_000_000)
                #expect(rise["REPLY_TOO_BIG"].packets > 0)
                #expect(try await network.learntMTU(to: family.rawValue) == 1500 - outer)

                try await set(mtu: "1400")
                try await eventually("the client hears of the route's new MTU") {
                    _ = try await network.upload(100_000, to: family.target)
                    return try await network.learntMTU(to: family.rawValue) == 1400 - outer
                }
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

        @Test(arguments: zip([Way.ipip, .gue], [Family.v4, .v6]))
        func `a backend hears of a narrow link behind which its client is`(
            way: Way, family: Family
        ) async throws {
            try await withNetwork(way.topology) { network in
                _ = try await network.startServers(way)
                // The client promises to take 1500 bytes, and does not know of this.
                try await network["router"].run(["ip", "link", "set", "client", "mtu", "1400"])
                try await network.balance(ServiceText("web", way, family, "port: 80"))
                let (download, _) = try await network.keepingBooks {
                    try await network.download(
                        "/bytes/5000000", from: family.target, to: "client")
                }
                #expect(download.bytes == 5_000_000)
                let client = family == .v4 ? "192.168.0.10" : "fd00::10"
                #expect(
                    try await network.learntMTU(to: client, from: download.backend) == 1400)
            }
        }

        @Test func `a backend hears that a fragment of its answer is too large`() async throws {
            try await withNetwork(.routed()) { network in
                _ = try await network.startServers(.ipip)
                // It sends what its own link carries, and IPv6 routers don't fragment.
                try await network["server-a"].run(
                    ["ip", "-6", "route", "replace", "::/0", "via", "fd00:101::fe"])
                try await network.balance(
                    ServiceText(
                        "echo", .ipip, .v6, only: ["server-a"], "port: 80", "protocol: udp"))
                let (lost, once) = try await network.keepingBooks {
                    try await network.echo(
                        flows: 1, count: 1, size: 4000, to: Family.v6.target, within: 0.5)
                }
                #expect(lost.flatMap(\.failures) == ["timeout"])
                // Three of the question, and the error about the first of the answer. The one
                // about the second quotes no ports.
                #expect(once["FORWARD_IPIP"].packets == 3 + 1)
                #expect(once["PASS_ICMP"].packets == 1)

                let (answered, then) = try await network.keepingBooks {
                    try await network.echo(
                        flows: 1, count: 2, size: 4000, to: Family.v6.target)
                }
                #expect(answered.map(\.answers) == [["server-a": 2]])
                #expect(then["FORWARD_IPIP"].packets == 2 * 3)
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
    /// The MTU of the path to `address` that the kernel of `host` was told; nil if nobody told one.
    fileprivate func learntMTU(
        to address: String, from host: String = "client"
    ) async throws -> Int? {
        struct Route: Decodable { let metrics: [Metrics]? }
        struct Metrics: Decodable { let mtu: Int? }
        let routes: [Route] = try await self[host].decode(["ip", "-j", "route", "get", address])
        return routes.first?.metrics?.compactMap(\.mtu).first
    }
}
