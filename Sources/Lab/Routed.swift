extension Topology {
    /// How the backends of ``routed(backends:segments:)`` are spread.
    public enum BackendSegments: Hashable, Sendable, CaseIterable {
        /// Each backend has a segment, and so a subnet, of its own.
        case own
        /// All backends are on one segment.
        case shared
    }

    /// Client, balancer and backends around a router, for encapsulation (`ipip`).
    ///
    /// | host       | interface | addresses                                                    |
    /// |------------|-----------|--------------------------------------------------------------|
    /// | `client`   | `eth0`    | 192.168.0.10, fd00::10                                       |
    /// | `balancer` | `eth1`    | 192.168.1.1, fd00:1::1; the VIP: 192.168.1.100, fd00:1::100  |
    /// | `server-a` | `eth0`    | own: 192.168.101.10, fd00:101::10; the VIP on `lo`           |
    /// |            |           | shared: 192.168.2.101, fd00:2::101; the VIP on `lo`          |
    /// | `server-b` | `eth0`    | 192.168.102.10 or 192.168.2.102; and so on                   |
    /// | `router`   |           | the .254 and ::fe of each subnet; interfaces named after the |
    /// |            |           | hosts, and `br0` for a shared segment                        |
    ///
    /// The client's link carries 1500 bytes, and servers send nothing larger.
    ///
    /// - Parameter mtu: How many bytes all other links carry. The client's 1500 fit in the 1600
    ///   even when they are encapsulated; with 1500 the client has to be told to send less.
    public static func routed(
        backends: Int = 3, segments: BackendSegments = .own, mtu: Int = 1600
    ) -> Topology {
        var router = Host("router")
        router.forwards = true
        var topology = Topology(hosts: [], links: [])

        topology.add(
            Host("client"), interface: "eth0", subnet: Subnet("192.168.0", "fd00:"), 10,
            mtu: clientMTU, to: &router, gateway: "client")
        var balancer = Host("balancer")
        balancer.addresses = [.init(vip.v4, on: "eth1"), .init(vip.v6, on: "eth1")]
        topology.add(
            balancer, interface: "eth1", subnet: Subnet("192.168.1", "fd00:1:"), 1,
            mtu: mtu, to: &router, gateway: "balancer")
        for (index, name) in serverNames(backends).enumerated() {
            var server = Host(name)
            server.serveVIPDirectly()
            switch segments {
            case .own:
                let subnet = Subnet("192.168.\(101 + index)", "fd00:\(101 + index):")
                topology.add(
                    server, interface: "eth0", subnet: subnet, 10, mtu: mtu,
                    sending: clientMTU, to: &router, gateway: name)
            case .shared:
                router.bridged.append(name)
                topology.add(
                    server, interface: "eth0", subnet: Subnet("192.168.2", "fd00:2:"),
                    101 + index, mtu: mtu, sending: clientMTU, to: &router, gateway: "br0")
            }
        }
        topology.hosts.append(router)
        return topology
    }

    /// Adds `host` as number `number` of `subnet`, with the router as its way to all others.
    ///
    /// - Parameters:
    ///   - mtu: What its link carries.
    ///   - sending: What it sends at most, if that is less.
    private mutating func add(
        _ host: Host, interface: String, subnet: Subnet, _ number: Int, mtu: Int,
        sending: Int? = nil, to router: inout Host, gateway: String
    ) {
        var host = host
        host.addresses =
            [
                .init("\(subnet.v4).\(number)/24", on: interface),
                .init("\(subnet.v6):\(number)/64", on: interface),
            ] + host.addresses
        host.routes += [
            .init(to: "0.0.0.0/0", via: "\(subnet.v4).254", mtu: sending),
            .init(to: "::/0", via: "\(subnet.v6):fe", mtu: sending),
        ]
        hosts.append(host)
        links.append(Link(.init("router", host.name), .init(host.name, interface), mtu: mtu))
        let own = [
            Address("\(subnet.v4).254/24", on: gateway), Address("\(subnet.v6):fe/64", on: gateway),
        ]
        router.addresses += own.filter { !router.addresses.contains($0) }
    }
}

/// What the client's link carries, as most do.
private let clientMTU = 1500

/// The part of the addresses that is the same for all of a segment.
private struct Subnet {
    let v4: String
    let v6: String

    init(_ v4: String, _ v6: String) {
        self.v4 = v4
        self.v6 = v6
    }
}
