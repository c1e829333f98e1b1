import Netlink
import Packets
import Testing

struct WayTests {
    private static let mac = MACAddress(0x02_0000_0000_01)
    private static let linkAddress = MACAddress(0x02_0000_0000_FF)
    private static let backend = IPAddress.v4(IPv4Address(0xC000_0201))
    private static let router = IPAddress.v4(IPv4Address(0xC000_02FE))
    private static let ours = IPAddress.v4(IPv4Address(0xC000_0210))

    private static func link(
        _ flags: LinkState.Flags = [.enabled, .carrier], address: MACAddress? = linkAddress
    ) -> LinkState {
        LinkState(index: 3, name: "eth1", address: address, mtu: 1500, flags: flags)
    }

    private static func neighbour(
        _ state: Neighbour.State, of address: IPAddress = backend, mac: MACAddress? = mac,
        on interface: UInt32 = 3
    ) -> Neighbour {
        Neighbour(interface: interface, address: address, mac: mac, state: state)
    }

    private static func find(
        _ route: Route = .unicast(interface: 3, gateway: nil, source: ours),
        link: LinkState = link(), neighbours: [Neighbour] = [], addresses: [InterfaceAddress] = []
    ) -> Way {
        way(
            to: backend, route: route, links: [link], neighbours: neighbours, addresses: addresses)
    }

    private static let throughRouter = Route.unicast(interface: 3, gateway: router, source: ours)
    private static let open = Way.open(
        .init(link: link(), linkAddress: linkAddress, neighbour: mac, source: ours))

    @Test(arguments: Neighbour.State.allCases)
    func `a MAC address opens the way in every state in which the kernel would use it`(
        state: Neighbour.State
    ) {
        let expected: Way =
            switch state {
            case .reachable, .stale, .delay, .probe, .permanent, .noResolution: Self.open
            case .none, .incomplete: .waiting(for: Self.backend, on: Self.link())
            case .failed: .silent(Self.backend, on: Self.link())
            }
        #expect(Self.find(neighbours: [Self.neighbour(state)]) == expected)
    }

    @Test func `behind a router it is the router's MAC address that counts`() {
        let router = Self.neighbour(.reachable, of: Self.router)
        let backend = Self.neighbour(.reachable, mac: MACAddress(7))
        #expect(Self.find(Self.throughRouter, neighbours: [backend, router]) == Self.open)
        #expect(
            Self.find(Self.throughRouter, neighbours: [backend])
                == .waiting(for: Self.router, on: Self.link()))
    }

    @Test func `a router of the other family will do`() throws {
        let router = try #require(IPAddress("fe80::1"))
        let route = Route.unicast(interface: 3, gateway: router, source: Self.ours)
        #expect(
            Self.find(route, neighbours: [Self.neighbour(.stale, of: router)]) == Self.open)
    }

    @Test(
        arguments: [
            (nil, 1500), (1400, 1400), (1500, 1500), (9000, 1500), (68, 68), (67, 68), (1, 68),
        ] as [(UInt32?, UInt32)])
    func `what gets through is what the link and the route take`(route: UInt32?, mtu: UInt32) {
        let way = Self.find(
            .unicast(interface: 3, gateway: nil, source: Self.ours, mtu: route),
            neighbours: [Self.neighbour(.reachable)])
        guard case .open(let hop) = way else {
            Issue.record("not open")
            return
        }
        #expect(hop.mtu == mtu)
        #expect(hop.link.mtu == 1500)
    }

    @Test func `a neighbour not known yet, or known on another link, is waited for`() {
        let waiting = Way.waiting(for: Self.backend, on: Self.link())
        #expect(Self.find() == waiting)
        #expect(Self.find(neighbours: [Self.neighbour(.reachable, on: 4)]) == waiting)
        #expect(Self.find(neighbours: [Self.neighbour(.failed, on: 4)]) == waiting)
        #expect(Self.find(neighbours: [Self.neighbour(.stale, mac: nil)]) == waiting)
    }

    @Test func `one that did not answer is told from one that has not answered yet`() {
        let failed = Self.find(neighbours: [Self.neighbour(.failed, mac: nil)])
        let asked = Self.find(neighbours: [Self.neighbour(.incomplete, mac: nil)])
        #expect(failed.obstacle == "192.0.2.1 does not answer on eth1")
        #expect(asked.obstacle == "waiting for 192.0.2.1 to answer on eth1")
        #expect(Self.open.obstacle == nil)
    }

    @Test(arguments: [
        (Route.Obstacle.missing, "no route to 192.0.2.1"),
        (.local, "192.0.2.1 is an address of this machine"),
        (.broadcast, "192.0.2.1 is a broadcast address"),
        (.multicast, "192.0.2.1 is a multicast address"),
        (.anycast, "192.0.2.1 is an anycast address"),
        (.blackhole, "the route to 192.0.2.1 is a blackhole"),
        (.unreachable, "the route to 192.0.2.1 says that it is unreachable"),
        (.prohibited, "the route to 192.0.2.1 prohibits it"),
        (.unknown, "the route to 192.0.2.1 is of an unknown kind"),
    ])
    func `a route that leads nowhere says so`(obstacle: Route.Obstacle, reason: String) {
        let neighbours = [Self.neighbour(.reachable)]
        #expect(Self.find(.unusable(obstacle), neighbours: neighbours) == .closed(reason))
    }

    @Test(
        arguments: [
            ([], linkAddress, "eth1 is down"), ([.carrier], linkAddress, "eth1 is down"),
            ([.enabled], linkAddress, "eth1 has no carrier"),
            ([.enabled, .carrier, .loopback], nil, "eth1 leads to this machine itself"),
            ([.enabled, .carrier, .noResolution], nil, "eth1 has no Ethernet addresses"),
            ([.enabled, .carrier], nil, "eth1 has no Ethernet addresses"),
            (
                [.enabled, .carrier, .noResolution], linkAddress,
                "eth1 resolves no addresses (NOARP)"
            ),
        ] as [(LinkState.Flags, MACAddress?, String)])
    func `a link that no frame can leave by says so`(
        flags: LinkState.Flags, address: MACAddress?, reason: String
    ) {
        let link = Self.link(flags, address: address)
        #expect(
            Self.find(link: link, neighbours: [Self.neighbour(.reachable)]) == .closed(reason))
    }

    private static func vlan(
        _ index: UInt32, _ name: String, type: UInt16 = 0x8100, number: UInt16,
        on lower: UInt32?, mtu: UInt32 = 1500, flags: LinkState.Flags = [.enabled, .carrier]
    ) -> LinkState {
        LinkState(
            index: index, name: name, address: MACAddress(UInt64(index)), mtu: mtu, flags: flags,
            kind: "vlan", vlan: .init(type: type, number: number, lower: lower))
    }

    private static func find(over interface: UInt32, _ links: [LinkState]) -> Way {
        way(
            to: backend, route: .unicast(interface: interface, gateway: nil, source: ours),
            links: links, neighbours: [neighbour(.reachable, on: interface)])
    }

    @Test func `behind a VLAN frames go through the card with its tag, from the VLAN's address`()
        throws
    {
        let vlan = Self.vlan(5, "eth1.5", number: 5, on: 3, mtu: 1400)
        guard case .open(let hop) = Self.find(over: 5, [Self.link(), vlan]) else {
            Issue.record("not open")
            return
        }
        #expect(hop.link == vlan)
        #expect(hop.card == Self.link())
        #expect(hop.tags.map(\.number) == [5])
        #expect(hop.linkAddress == MACAddress(5))
        #expect(hop.link.mtu == 1400)
    }

    @Test func `two VLANs are two tags from the outside in, and three are too many`() {
        let links = [
            Self.link(), Self.vlan(5, "eth1.5", type: 0x88A8, number: 5, on: 3),
            Self.vlan(6, "eth1.5.6", number: 6, on: 5), Self.vlan(7, "inner", number: 7, on: 6),
        ]
        guard case .open(let hop) = Self.find(over: 6, links) else {
            Issue.record("not open")
            return
        }
        #expect(hop.tags.map(\.number) == [5, 6])
        #expect(hop.tags.map(\.type) == [0x88A8, 0x8100])
        #expect(hop.card == Self.link())
        #expect(
            Self.find(over: 7, links)
                == .closed("inner needs more than 2 VLAN tags, which is what a frame can have"))
    }

    @Test func `a VLAN on a link that is down, elsewhere or itself is closed`() {
        let vlan = Self.vlan(5, "eth1.5", number: 5, on: 3)
        #expect(
            Self.find(over: 5, [Self.link([.enabled]), vlan]) == .closed("eth1 has no carrier"))
        for lower in [nil, 4] as [UInt32?] {
            let lost = Self.vlan(5, "eth1.5", number: 5, on: lower)
            #expect(
                Self.find(over: 5, [Self.link(), lost])
                    == .closed("the interface below eth1.5 is not in this network namespace"))
        }
        let loop = Self.vlan(5, "eth1.5", number: 5, on: 5)
        #expect(Self.find(over: 5, [loop]).obstacle?.contains("VLAN tags") == true)
    }

    @Test func `a route without a link or without a source is closed`() {
        let neighbours = [Self.neighbour(.reachable)]
        #expect(
            Self.find(
                .unicast(interface: 4, gateway: nil, source: Self.ours), neighbours: neighbours)
                == .closed("interface 4, where 192.0.2.1 is, has gone"))
        #expect(
            Self.find(.unicast(interface: 3, gateway: nil, source: nil), neighbours: neighbours)
                == .closed("this machine has no address to send to 192.0.2.1 from"))
    }

    @Test(
        arguments: [
            ([], 24, "no route to 192.0.2.1: eth1 is down"),
            ([.enabled], 24, "no route to 192.0.2.1: eth1 has no carrier"),
            ([.enabled, .carrier], 24, "no route to 192.0.2.1"),
            ([], 28, "no route to 192.0.2.1"),
        ] as [(LinkState.Flags, UInt8, String)])
    func `a missing route is put down to the link that is missing`(
        flags: LinkState.Flags, prefixLength: UInt8, reason: String
    ) {
        let address = InterfaceAddress(
            interface: 3, address: Self.ours, prefixLength: prefixLength)
        #expect(
            Self.find(.unusable(.missing), link: Self.link(flags), addresses: [address])
                == .closed(reason))
    }

    @Test(arguments: [
        ("192.0.2.16", 27 as UInt8, "192.0.2.31", true), ("192.0.2.16", 28, "192.0.2.15", false),
        ("192.0.2.16", 32, "192.0.2.16", true), ("192.0.2.16", 32, "192.0.2.17", false),
        ("192.0.2.16", 0, "255.0.0.1", true), ("192.0.2.16", 0, "::1", false),
        ("2001:db8::1", 127, "2001:db8::0", true), ("2001:db8::1", 127, "2001:db8::2", false),
    ])
    func `a subnet is as wide as its prefix says`(
        ours: String, prefixLength: UInt8, other: String, isShared: Bool
    ) throws {
        let address = InterfaceAddress(
            interface: 3, address: try #require(IPAddress(ours)), prefixLength: prefixLength)
        #expect(address.shares(prefixWith: try #require(IPAddress(other))) == isShared)
    }
}
