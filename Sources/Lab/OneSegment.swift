extension Topology {
    /// All on one segment, for direct server return (`l2-dsr`).
    ///
    /// | host       | interface | addresses                                                     |
    /// |------------|-----------|---------------------------------------------------------------|
    /// | `client`   | `eth0`    | 192.168.1.10, fd00:1::10                                      |
    /// | `balancer` | `eth1`    | 192.168.1.1, fd00:1::1; the VIP: 192.168.1.100, fd00:1::100   |
    /// | `server-a` | `eth0`    | 192.168.1.101, fd00:1::101; the VIP on `lo`, not announced    |
    /// | `server-b` | `eth0`    | 192.168.1.102, fd00:1::102; likewise, and so on               |
    /// | `switch`   |           | none: its bridge joins ports named after the hosts            |
    ///
    /// - Parameter isPlain: No server has the VIP, and the balancer has addresses to send from
    ///   (`full-nat`): 192.168.1.200, fd00:1::200.
    public static func oneSegment(backends: Int = 3, isPlain: Bool = false) -> Topology {
        var client = Host("client")
        client.addresses = [
            .init("192.168.1.10/24", on: "eth0"), .init("fd00:1::10/64", on: "eth0"),
        ]
        var balancer = Host("balancer")
        balancer.addresses = [
            .init("192.168.1.1/24", on: "eth1"), .init("fd00:1::1/64", on: "eth1"),
            .init(vip.v4, on: "eth1"), .init(vip.v6, on: "eth1"),
        ]
        if isPlain {
            balancer.addresses += [
                .init(natAddress.v4, on: "eth1"), .init(natAddress.v6, on: "eth1"),
            ]
        }
        let servers = serverNames(backends).enumerated().map { index, name in
            var server = Host(name)
            server.addresses = [
                .init("192.168.1.\(101 + index)/24", on: "eth0"),
                .init("fd00:1::\(101 + index)/64", on: "eth0"),
            ]
            if !isPlain { server.serveVIPDirectly() }
            return server
        }
        let stations = [client, balancer] + servers
        var hub = Host("switch")
        hub.bridged = stations.map(\.name)
        hub.settings = [.init("ipv6/conf/default/disable_ipv6", 1)]
        return Topology(
            hosts: stations + [hub],
            links: stations.map { station in
                let interface = station.name == "balancer" ? "eth1" : "eth0"
                return Link(.init("switch", station.name), .init(station.name, interface))
            })
    }
}
