import Netlink
import Packets
import Testing

struct WayTests {
    private static let mac = MACAddress(0x02_0000_0000_01)
    private static let backend = IPAddress.v4(IPv4Address(0xC000_0201))
    private static let router = IPAddress.v4(IPv4Address(0xC000_02FE))
    private static let ours = IPAddress.v4(IPv4Address(0xC000_0210))

    private func link(isUp: Bool = true, mac: MACAddress? = mac) -> LinkState {
        LinkState(index: 3, name: "eth1", address: mac, mtu: 1500, isUp: isUp)
    }

    private func find(
        kind: Route.Kind? = .unicast, gateway: IPAddress? = nil, source: IPAddress? = ours,
        link: LinkState? = nil, neighbour: Neighbour? = nil
    ) -> Way {
        let route = kind.map {
            Route(kind: $0, interface: 3, gateway: gateway, source: source)
        }
        return way(
            to: Self.backend, route: route, links: [link ?? self.link()],
            neighbours: neighbour.map { [$0] } ?? [])
    }

    private func neighbour(
        _ state: Neighbour.State, of address: IPAddress = backend, mac: MACAddress? = mac,
        on interface: UInt32 = 3
    ) -> Neighbour {
        Neighbour(interface: interface, address: address, mac: mac, state: state)
    }

    @Test func `a known neighbour on a link that is up opens the way`() {
        #expect(
            find(neighbour: neighbour(.known)) == .open(link(), Self.mac, source: Self.ours))
    }

    @Test func `behind a router it is the router's MAC address that counts`() {
        #expect(
            find(gateway: Self.router, neighbour: neighbour(.known, of: Self.router))
                == .open(link(), Self.mac, source: Self.ours))
        #expect(
            find(gateway: Self.router, neighbour: neighbour(.known))
                == .unresolved(Self.router, link()))
    }

    @Test func `a neighbour not known yet, or known on another link, is unresolved`() {
        #expect(find() == .unresolved(Self.backend, link()))
        #expect(find(neighbour: neighbour(.asking, mac: nil)) == .unresolved(Self.backend, link()))
        #expect(find(neighbour: neighbour(.known, on: 4)) == .unresolved(Self.backend, link()))
    }

    @Test func `what closes the way is said in words`() {
        #expect(find(kind: nil) == .closed("no route to 192.0.2.1"))
        #expect(find(kind: .local) == .closed("192.0.2.1 is an address of this machine"))
        #expect(find(kind: .refused) == .closed("the route to 192.0.2.1 refuses packets"))
        #expect(find(link: link(isUp: false)) == .closed("eth1 is down"))
        #expect(find(link: link(mac: nil)) == .closed("eth1 is no Ethernet link"))
        #expect(
            find(source: nil)
                == .closed("this machine has no address to send from on eth1"))
        #expect(
            find(neighbour: neighbour(.failed, mac: nil))
                == .closed("192.0.2.1 does not answer on eth1"))
    }
}
