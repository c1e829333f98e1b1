import Balancing
import Packets
import Testing

@testable import Control

/// What a controller says about its host before anybody misses a packet.
struct WarningTests {
    private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

    private func service(_ forwarding: Forwarding, vip: String = "192.168.1.100") throws -> Service
    {
        let first = try address(vip)
        let length = vip.hasSuffix(".0") ? 28 : first.family.bits
        let prefix = IPPrefix(of: first, length: length)
        return Service(
            name: "web", vip: VIP(prefix), ports: Ports(80), forwarding: forwarding,
            healthCheck: nil,
            backends: addresses.prefix(2).enumerated().map {
                Backend(name: "b\($0.offset)", address: $0.element)
            })
    }

    private func nat(on interfaces: [String]) throws -> DesiredState {
        DesiredState(
            interfaces: interfaces, natAddresses: [try address("192.0.2.10")],
            services: [
                try service(.nat), try service(.nat, vip: "2001:db8::1"),
                try service(.fullNAT, vip: "192.168.1.99"),
            ])
    }

    @Test func `what this host lacks for answers is said with the cure`() throws {
        let desired = try nat(on: ["eth1", "eth2"])
        let all = Set(desired.services.map(\.vip.prefix.base)).union(desired.natAddresses)
        let good = HostSettings(
            forwarded: [.v4, .v6], addresses: all, acceptingLocal: ["eth1"])
        #expect(warnings(for: desired, on: good) == [])
        var bad = good
        bad.forwarded = []
        bad.addresses.subtract(desired.natAddresses)
        #expect(
            warnings(for: desired, on: bad) == [
                "answers of nat backends stay here: this host forwards no IPv4 packets\n"
                    + "  sysctl -w net.ipv4.ip_forward=1",
                "answers of nat backends stay here: this host forwards no IPv6 packets\n"
                    + "  sysctl -w net.ipv6.conf.all.forwarding=1",
                "answers of full-nat backends may not come here: 192.0.2.10 is no address of this "
                    + "host\n  ip address add 192.0.2.10/32 dev INTERFACE, unless it is routed "
                    + "here",
            ])
        var refusing = good
        refusing.acceptingLocal = []
        #expect(
            warnings(for: desired, on: refusing) == [
                "answers of nat backends may stay here: 192.168.1.100 is an address of this host, "
                    + "which refuses packets from it\n  sysctl -w "
                    + "net.ipv4.conf.INTERFACE.accept_local=1 for the interface to the backends"
            ])
        for interface in ["eth1", "all"] {
            refusing.acceptingLocal = [interface]
            #expect(warnings(for: desired, on: refusing) == [])
        }
    }

    @Test func `where there is one interface the cures name it`() throws {
        let desired = try nat(on: ["eth1"])
        let vips = Set(desired.services.map(\.vip.prefix.base))
        let host = HostSettings(forwarded: [.v4, .v6], addresses: vips)
        let cures = warnings(for: desired, on: host).compactMap { $0.split(separator: "\n").last }
        #expect(
            cures == [
                "  sysctl -w net.ipv4.conf.eth1.accept_local=1",
                "  ip address add 192.0.2.10/32 dev eth1, unless it is routed here",
            ])
    }

    @Test func `a VIP that is no address of the host is told of, a block of VIPs is routed`() throws
    {
        let desired = DesiredState(
            interfaces: ["eth1"],
            services: [
                try service(.l2DSR), try service(.l2DSR, vip: "2001:db8::1"),
                try service(.l2DSR, vip: "203.0.113.0"),
            ])
        let host = HostSettings(forwarded: [], addresses: [])
        #expect(
            warnings(for: desired, on: host) == [
                "packets for 192.168.1.100 may not come here: it is no address of this host\n"
                    + "  ip address add 192.168.1.100/32 dev eth1, unless it is routed here",
                "packets for 2001:db8::1 may not come here: it is no address of this host\n"
                    + "  ip address add 2001:db8::1/128 dev eth1 preferred_lft 0, unless it is "
                    + "routed here",
            ])
    }

    @Test func `NAT addresses that nobody sends from are told of`() throws {
        var desired = DesiredState(
            interfaces: ["eth1"], natAddresses: [try address("192.0.2.10")],
            services: [try service(.nat)])
        #expect(uselessSettings(of: desired).count == 1)
        desired.services.append(try service(.fullNAT, vip: "192.168.1.99"))
        #expect(uselessSettings(of: desired) == [])
    }

    @Test func `an l2-dsr backend behind a router is told of, one with a tunnel is not`() throws {
        let router = try address("192.168.1.254")
        func found(_ forwarding: Forwarding) throws -> [String] {
            warnings(
                for: DesiredState(interfaces: ["eth1"], services: [try service(forwarding)]),
                behind: [addresses[1]: router])
        }
        #expect(
            try found(.l2DSR) == [
                "web/b1 gets nothing: \(addresses[1]) is behind the router 192.168.1.254, which "
                    + "takes packets for the VIP back here\n"
                    + "  with l2-dsr a backend must be in the network of an interface; behind a "
                    + "router it takes ipip, gue or full-nat"
            ])
        #expect(try found(.ipip) == [])
    }
}
