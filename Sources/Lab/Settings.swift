/// Shell commands that set up the network namespace of a host before an interface arrives there,
/// so that every interface is born with these settings.
///
/// A new namespace takes some of them from the machine, which may be a router: hence all are said.
func settings(of host: Topology.Host) -> String {
    let forwarding = host.forwards ? 1 : 0
    // First, for the kernel resets others when it changes.
    let roles: [Topology.Setting] = [
        .init("ipv4/ip_forward", forwarding), .init("ipv6/conf/all/forwarding", forwarding),
    ]
    let common = ["all", "default"].flatMap { scope in
        everyInterface.map { Topology.Setting("\($0.family)/conf/\(scope)/\($0.name)", $0.value) }
    }
    return (roles + common + host.settings)
        .map { "echo \($0.value) > /proc/sys/net/\($0.path)" }.joined(separator: "\n")
}

private let everyInterface: [(family: String, name: String, value: Int)] = [
    // A reply for the VIP comes from another interface than the one the VIP's packets leave by.
    ("ipv4", "rp_filter", 0),
    ("ipv4", "arp_ignore", 0), ("ipv4", "arp_announce", 0),
    ("ipv4", "send_redirects", 0), ("ipv4", "accept_redirects", 0),
    // Addresses can be used at once, and nobody looks for routers.
    ("ipv6", "accept_dad", 0), ("ipv6", "dad_transmits", 0),
    ("ipv6", "accept_ra", 0), ("ipv6", "router_solicitations", 0),
    ("ipv6", "accept_redirects", 0),
]
