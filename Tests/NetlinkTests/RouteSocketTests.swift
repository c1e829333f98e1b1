import CLinux
import Glibc
import Packets
import Testing

import enum Lab.NetworkNamespace

@testable import Netlink

/// What the kernel answers, in networks of the tests' own.
@Suite(.enabled(if: geteuid() == 0, "network namespaces need root"), .timeLimit(.minutes(2)))
struct RouteSocketTests {
    @Test func `links are told with their state`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            try NetworkNamespace.ip(
                "link add near address 02:00:00:00:00:01 mtu 1400 type veth peer name far")
            var socket = try RouteSocket()
            let near = try socket.link(named: "near")
            #expect(near.index == if_nametoindex("near"))
            #expect(near.address == MACAddress("02:00:00:00:00:01"))
            #expect(near.mtu == 1400)
            #expect(near.flags == [])
            #expect(near.programs == [])

            try NetworkNamespace.ip("link set near up")
            #expect(try socket.link(named: "near").flags == [.enabled], "no carrier: far is down")
            try NetworkNamespace.ip("link set far up")
            #expect(try NetworkNamespace.eventually { try socket.link(named: "near").isUp })
            try NetworkNamespace.ip("link set near arp off")
            #expect(try socket.link(named: "near").flags.contains(.noResolution))

            let links = try socket.links()
            #expect(Set(links.map(\.name)) == ["lo", "near", "far"])
            #expect(links.contains(try socket.link(named: "near")))
            let loopback = try #require(links.first { $0.name == "lo" })
            #expect(loopback.flags.contains(.loopback))
            #expect(loopback.address == nil)
        }
    }

    @Test func `an interface that does not exist is refused by name`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            var socket = try RouteSocket()
            for name in ["near", "", "a-name-too-long-for-linux"] {
                do throws(Failure) {
                    _ = try socket.link(named: name)
                    Issue.record("\(name) was found")
                } catch {
                    #expect(
                        error.description == """
                            cannot find interface \(name): No such device (19)
                              `ip link` lists the interfaces that there are
                            """)
                }
            }
            #expect(try socket.link(named: "lo").name == "lo", "a refusal harms no later request")
        }
    }

    @Test func `addresses of both families are told`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            try NetworkNamespace.addPair("near", "far")
            try NetworkNamespace.addAddresses("near", "10.0.0.1/24", "fd00::1/64")
            try NetworkNamespace.ip("addr add 10.1.0.1 peer 10.1.0.2/32 dev near")
            var socket = try RouteSocket()
            let index = if_nametoindex("near")
            let addresses = try socket.addresses().filter { $0.interface == index }
            for (text, length) in [("10.0.0.1", 24), ("fd00::1", 64), ("10.1.0.1", 32)] {
                let address = try #require(IPAddress(text))
                #expect(
                    addresses.contains(
                        InterfaceAddress(
                            interface: index, address: address, prefixLength: UInt8(length))))
            }
        }
    }

    @Test func `a route tells interface, gateway and source`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            try NetworkNamespace.addPair("near", "far")
            try NetworkNamespace.addAddresses("near", "10.0.0.1/24", "fd00::1/64")
            try NetworkNamespace.ip("route add 10.7.0.0/16 via 10.0.0.254")
            try NetworkNamespace.ip("route add 10.8.0.0/16 via inet6 fd00::fe dev near")
            try NetworkNamespace.ip("-6 route add fd07::/16 via fd00::fe")
            var socket = try RouteSocket()
            let index = if_nametoindex("near")
            let table: [(to: String, gateway: String?, source: String)] = [
                ("10.0.0.2", nil, "10.0.0.1"),
                ("10.7.0.1", "10.0.0.254", "10.0.0.1"),
                ("10.8.0.1", "fd00::fe", "10.0.0.1"),
                ("fd00::2", nil, "fd00::1"),
                ("fd07::1", "fd00::fe", "fd00::1"),
            ]
            for row in table {
                let destination = try #require(IPAddress(row.to))
                let expected = Route.unicast(
                    interface: index, gateway: row.gateway.flatMap { IPAddress($0) },
                    source: IPAddress(row.source))
                // IPv6 has no way out before the link's state has settled.
                let isFound = try NetworkNamespace.eventually {
                    try socket.route(to: destination) == expected
                }
                #expect(isFound, "\(row.to)")
            }
        }
    }

    @Test func `a route tells its own MTU, and that it changed`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            try NetworkNamespace.addPair("near", "far")
            try NetworkNamespace.addAddresses("near", "10.0.0.1/24", "fd00::1/64")
            try NetworkNamespace.ip("route add 10.7.0.0/16 via 10.0.0.254 mtu 1400")
            try NetworkNamespace.ip("route add 10.8.0.0/16 via 10.0.0.254 mtu lock 1300")
            try NetworkNamespace.ip("route add 10.9.0.0/16 via 10.0.0.254 hoplimit 9")
            try NetworkNamespace.ip("-6 route add fd07::/16 via fd00::fe mtu 1400")
            var socket = try RouteSocket()
            func mtu(_ text: String) throws -> UInt32? {
                let destination = try #require(IPAddress(text))
                guard case .unicast(_, _, _, let mtu) = try socket.route(to: destination)
                else { return 0 }
                return mtu
            }
            let table: [(String, UInt32?)] = [
                ("10.0.0.2", nil), ("10.7.0.1", 1400), ("10.8.0.1", 1300), ("10.9.0.1", nil),
                ("fd00::2", nil), ("fd07::1", 1400),
            ]
            for (text, expected) in table {
                // IPv6 has no way out before the link's state has settled.
                #expect(try NetworkNamespace.eventually { try mtu(text) == expected }, "\(text)")
            }
            try NetworkNamespace.ip("route change 10.7.0.0/16 via 10.0.0.254 mtu 1350")
            #expect(try mtu("10.7.0.1") == 1350)
            try NetworkNamespace.ip("route change 10.7.0.0/16 via 10.0.0.254")
            #expect(try mtu("10.7.0.1") == nil)
        }
    }

    @Test func `a route that leads nowhere tells why`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            try NetworkNamespace.addPair("near", "far")
            try NetworkNamespace.addAddresses("near", "10.0.0.1/24", "fd00::1/64")
            let kinds = [1: "blackhole", 2: "unreachable", 3: "prohibit", 4: "throw"]
            for (number, kind) in kinds {
                try NetworkNamespace.ip("route add \(kind) 10.\(number).0.0/16")
                try NetworkNamespace.ip("-6 route add \(kind) fd0\(number)::/16")
            }
            var socket = try RouteSocket()
            let table: [(String, Route.Obstacle)] = [
                ("10.1.0.1", .blackhole), ("fd01::1", .blackhole),
                ("10.2.0.1", .unreachable), ("fd02::1", .unreachable),
                ("10.3.0.1", .prohibited), ("fd03::1", .prohibited),
                ("10.4.0.1", .missing), ("fd04::1", .missing),
                ("10.5.0.1", .missing), ("fd05::1", .missing),
                ("10.0.0.1", .local), ("fd00::1", .local), ("127.0.0.1", .local),
                ("10.0.0.255", .broadcast),
            ]
            for (text, obstacle) in table {
                let destination = try #require(IPAddress(text))
                let isFound = try NetworkNamespace.eventually {
                    try socket.route(to: destination) == .unusable(obstacle)
                }
                #expect(isFound, "\(text)")
            }
        }
    }

    // Addresses, not neighbours: the kernel's table of those is one for all namespaces, and where
    // it has more than 128 entries those that failed vanish, here and in other tests.
    @Test func `a table of many datagrams is told whole`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            let texts = (0..<2000).map { "10.0.\($0 / 250).\($0 % 250 + 1)" }
            try NetworkNamespace.batch(texts.map { "addr add \($0)/32 dev lo" })
            var socket = try RouteSocket()
            let index = if_nametoindex("lo")
            let found = try socket.addresses().filter { $0.prefixLength == 32 }
            #expect(found.count == 2000)
            #expect(Set(found.map { "\($0.address)" }) == Set(texts))
            #expect(found.allSatisfy { $0.interface == index })
        }
    }

    @Test func `a message longer than a page is told whole`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            try NetworkNamespace.addPair("near", "far")
            let filler = String(repeating: "x", count: 100)
            try NetworkNamespace.batch(
                (100..<300).map { "link property add dev near altname \(filler)\($0)" })
            let socket = try changeSocket()
            var routes = try RouteSocket()
            #expect(try routes.link(named: "near").name == "near")
            #expect(Set(try routes.links().map(\.name)) == ["lo", "near", "far"])
            try NetworkNamespace.ip("link set near mtu 1400")
            let heard = hear(socket)
            #expect(heard.changes.contains(.links))
            #expect(!heard.changes.contains(.overrun))
        }
    }

    @Test func `two sockets in two namespaces each tell of their own`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            try NetworkNamespace.addPair("one", "two")
            var first = try RouteSocket()
            try NetworkNamespace.enterNew()
            var second = try RouteSocket()
            #expect(Set(try first.links().map(\.name)) == ["lo", "one", "two"])
            #expect(try second.links().map(\.name) == ["lo"])
        }
    }
}
