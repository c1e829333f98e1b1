import CLinux
import Glibc
import Netlink
import Packets
import Testing

import enum Lab.NetworkNamespace

/// What asking for a neighbour does to each state that the kernel may have it in.
@Suite(.enabled(if: geteuid() == 0, "network namespaces need root"), .timeLimit(.minutes(2)))
struct ResolveTests {

    @Test func `one that is not known is asked for`() async {
        await #expect(processExitsWith: .success) {
            let index = try network()
            var socket = try RouteSocket()
            for text in ["10.0.0.2", "fd00::2"] {
                let address = try #require(IPAddress(text))
                #expect(try socket.neighbour(address, on: index) == nil)
                // IPv6 asks in vain until the link's state has settled.
                let isKnown = try NetworkNamespace.eventually {
                    try socket.resolve(address, on: index)
                    return try socket.neighbour(address, on: index)?.mac == peer
                }
                #expect(isKnown, "\(text)")
                #expect(try socket.neighbour(address, on: index)?.state == .reachable)
                #expect(try socket.neighbours().contains { $0.address == address })
            }
        }
    }

    @Test func `one that nobody answers for is asked, then failed, then asked again`() async {
        await #expect(processExitsWith: .success) {
            let index = try network()
            try NetworkNamespace.set("ipv4/neigh/near/retrans_time_ms", to: "50")
            var socket = try RouteSocket()
            let address = try #require(IPAddress("10.0.0.3"))
            for _ in 0..<2 {
                try socket.resolve(address, on: index)
                let asked = try #require(try socket.neighbour(address, on: index))
                #expect(asked.state == .incomplete)
                #expect(asked.mac == nil)
                let isFailed = try NetworkNamespace.eventually {
                    try socket.neighbour(address, on: index)?.state == .failed
                }
                #expect(isFailed)
            }
        }
    }

    @Test func `one that failed and now answers becomes known`() async {
        await #expect(processExitsWith: .success) {
            let index = try network()
            var socket = try RouteSocket()
            let address = try #require(IPAddress("10.0.0.2"))
            try NetworkNamespace.ip("neigh replace 10.0.0.2 nud failed dev near")
            #expect(try socket.neighbour(address, on: index)?.state == .failed)
            try socket.resolve(address, on: index)
            let isKnown = try NetworkNamespace.eventually {
                try socket.neighbour(address, on: index)?.mac == peer
            }
            #expect(isKnown)
        }
    }

    @Test func `a stale one stays usable while it is asked, and is put right`() async {
        await #expect(processExitsWith: .success) {
            let index = try network()
            try NetworkNamespace.set("ipv4/neigh/near/retrans_time_ms", to: "50")
            try NetworkNamespace.set("ipv4/neigh/near/delay_first_probe_time", to: "1")
            var socket = try RouteSocket()
            let address = try #require(IPAddress("10.0.0.2"))
            try NetworkNamespace.ip(
                "neigh replace 10.0.0.2 lladdr 02:00:00:00:00:99 nud stale dev near")
            try socket.resolve(address, on: index)
            #expect(
                try socket.neighbour(address, on: index)
                    == Neighbour(interface: index, address: address, mac: wrong, state: .delay))
            // Nobody has the wrong MAC address, so the kernel drops it; asked again, it finds
            // the right one.
            let isRight = try NetworkNamespace.eventually {
                let known = try socket.neighbour(address, on: index)
                if known?.state == .failed { try socket.resolve(address, on: index) }
                return known?.mac == peer
            }
            #expect(isRight)
        }
    }

    @Test func `one that is reachable, permanent or not to be resolved is left alone`() async {
        await #expect(processExitsWith: .success) {
            let index = try network()
            var socket = try RouteSocket()
            let address = try #require(IPAddress("10.0.0.2"))
            let table: [(String, Neighbour.State)] = [
                ("reachable", .reachable), ("permanent", .permanent), ("noarp", .noResolution),
            ]
            for (name, state) in table {
                try NetworkNamespace.ip(
                    "neigh replace 10.0.0.2 lladdr 02:00:00:00:00:99 nud \(name) dev near")
                let expected = Neighbour(
                    interface: index, address: address, mac: wrong, state: state)
                try socket.resolve(address, on: index)
                #expect(try socket.neighbour(address, on: index) == expected)
                try NetworkNamespace.ip("neigh del 10.0.0.2 dev near")
            }
        }
    }

    @Test func `a link that does not exist is refused in the kernel's words`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            var socket = try RouteSocket()
            let address = try #require(IPAddress("10.0.0.2"))
            do throws(Failure) {
                try socket.resolve(address, on: 4711)
                Issue.record("interface 4711 was found")
            } catch {
                #expect(error.code == ENODEV)
                #expect(error.kernelText != nil)
            }
        }
    }

    @Test func `a route and a neighbour make a way`() async {
        await #expect(processExitsWith: .success) {
            let index = try network()
            try NetworkNamespace.ip("route add 10.7.0.0/16 via 10.0.0.2")
            var socket = try RouteSocket()
            let backend = try #require(IPAddress("10.7.0.1"))
            let look = { (socket: inout RouteSocket) throws in
                way(
                    to: backend, route: try socket.route(to: backend), links: try socket.links(),
                    neighbours: try socket.neighbours(), addresses: try socket.addresses())
            }
            let router = try #require(IPAddress("10.0.0.2"))
            let link = try socket.link(named: "near")
            #expect(try look(&socket) == .waiting(for: router, on: link))
            try socket.resolve(router, on: index)
            let isOpen = try NetworkNamespace.eventually {
                guard case .open(let hop) = try look(&socket) else { return false }
                return hop.neighbour == peer && hop.source == IPAddress("10.0.0.1")
            }
            #expect(isOpen)
            try NetworkNamespace.ip("link set near down")
            let near = try #require(IPAddress("10.0.0.9"))
            let closed = way(
                to: near, route: try socket.route(to: near), links: try socket.links(),
                neighbours: [], addresses: try socket.addresses())
            #expect(closed == .closed("no route to 10.0.0.9: near is down"))
        }
    }
}

/// Enters a network with a peer that answers; returns the index of the link to it.
private func network() throws -> UInt32 {
    try NetworkNamespace.enterNew()
    try NetworkNamespace.addAnsweringPeer()
    return if_nametoindex("near")
}

private let peer = MACAddress(0x0200_0000_0002)
private let wrong = MACAddress(0x0200_0000_0099)
