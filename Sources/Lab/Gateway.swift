extension Topology {
    /// Servers behind the balancer, which is their router (`nat`).
    ///
    /// | host       | interface | addresses                                                     |
    /// |------------|-----------|---------------------------------------------------------------|
    /// | `client`   | `eth0`    | 192.168.0.10, fd00::10                                        |
    /// | `balancer` | `eth1`    | 192.168.0.1, fd00::1; the VIP: 192.168.1.100, fd00:1::100     |
    /// |            | `eth2`    | 192.168.2.1, fd00:2::1                                        |
    /// | `server-a` | `eth0`    | 192.168.2.101, fd00:2::101                                    |
    /// | `server-b` | `eth0`    | 192.168.2.102, fd00:2::102; and so on                         |
    /// | `switch`   |           | none: its bridge joins the balancer's `eth2` and the servers  |
    public static func gateway(backends: Int = 3) -> Topology {
        var client = Host("client")
        client.addresses = [
            .init("192.168.0.10/24", on: "eth0"), .init("fd00::10/64", on: "eth0"),
        ]
        client.routes = routes(via: "192.168.0.1", "fd00::1")
        let servers = serverNames(backends).enumerated().map { index, name in
            var server = Host(name)
            server.addresses = [
                .init("192.168.2.\(101 + index)/24", on: "eth0"),
                .init("fd00:2::\(101 + index)/64", on: "eth0"),
            ]
            server.routes = routes(via: "192.168.2.1", "fd00:2::1")
            return server
        }
        var hub = Host("switch")
        hub.bridged = ["balancer"] + servers.map(\.name)
        hub.settings = [.init("ipv6/conf/default/disable_ipv6", 1)]
        return Topology(
            hosts: [client, gateway()] + servers + [hub],
            links: [
                Link(.init("balancer", "eth1"), .init("client", "eth0")),
                Link(.init("switch", "balancer"), .init("balancer", "eth2")),
            ] + servers.map { Link(.init("switch", $0.name), .init($0.name, "eth0")) })
    }

    /// The balancer of it.
    private static func gateway() -> Host {
        var balancer = Host("balancer")
        balancer.forwards = true
        // The answers that the kernel takes on come from the VIP, an address of its own.
        balancer.settings = ["all", "default"].map { .init("ipv4/conf/\($0)/accept_local", 1) }
        balancer.addresses = [
            .init("192.168.0.1/24", on: "eth1"), .init("fd00::1/64", on: "eth1"),
            .init(vip.v4, on: "eth1"), .init(vip.v6, on: "eth1"),
            .init("192.168.2.1/24", on: "eth2"), .init("fd00:2::1/64", on: "eth2"),
        ]
        return balancer
    }

    private static func routes(via v4: String, _ v6: String) -> [Route] {
        [.init(to: "0.0.0.0/0", via: v4), .init(to: "::/0", via: v6)]
    }
}
