import Foundation

/// A network of nodes that exists.
public struct Network: Sendable {
    private let nodes: [String: Node]

    /// The node of a host of the topology.
    public subscript(host: String) -> Node {
        guard let node = nodes[host] else { preconditionFailure("no host \(host) in the topology") }
        return node
    }

    /// Makes what `topology` describes: first the nodes, then the links, then what is on them.
    fileprivate static func make(_ topology: Topology) async throws -> Network {
        let nodes = try await together(topology.hosts) { host in
            (host.name, try await Node(host.name, settings: settings(of: host)))
        }
        let network = Network(nodes: nodes)
        try await network.connect(topology.links)
        // All of this before any end is up: veth takes redirected frames only if the peer had GRO
        // when it was opened, or gets it when both are up.
        _ = try await together(topology.hosts) { host in
            let offloads = topology.ends(of: host.name)
                .map { "ethtool -K \($0.interface) tx off rx off gro on" }
            try await network[host.name].run(["sh", "-ec", offloads.joined(separator: "\n")])
            return (host.name, ())
        }
        _ = try await together(topology.hosts) { host in
            try await network.configure(host, ends: topology.ends(of: host.name))
            return (host.name, ())
        }
        for host in topology.hosts {
            try await network.awaitCarrier(host, ends: topology.ends(of: host.name))
        }
        return network
    }

    /// Ends all nodes.
    fileprivate func end() async {
        await withDiscardingTaskGroup { group in
            for node in nodes.values { group.addTask { await node.end() } }
        }
    }

    /// Makes the links, each born with its ends where they belong.
    ///
    /// So the machine's own network never sees an interface. `ip` stays outside of the process
    /// namespace, where the path of the other node means something.
    private func connect(_ links: [Topology.Link]) async throws {
        for (host, links) in Dictionary(grouping: links, by: \.one.host) {
            let batch = links.enumerated().map { number, link in
                """
                link add \(link.one.interface) index \(firstIndex + number) mtu \(link.mtu) \
                type veth peer name \(link.other.interface) mtu \(link.mtu) \
                netns \(self[link.other.host].networkPath)
                """
            }
            try await self[host].runOutside(batched(batch))
        }
    }

    private func configure(
        _ host: Topology.Host, ends: [(interface: String, mtu: Int)]
    ) async throws {
        let bridge =
            host.bridged.isEmpty
            ? [] : ["link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"]
        let commands =
            bridge + host.bridged.map { "link set \($0) master br0" }
            + ends.map { "link set \($0.interface) up" }
            + (host.bridged.isEmpty ? [] : ["link set br0 up"])
            + host.addresses.map { "address add \($0.prefix) dev \($0.interface)\(lifetime($0))" }
            + host.routes.map { route in
                "route add \(route.destination) via \(route.gateway)"
                    + (route.mtu.map { " mtu \($0)" } ?? "")
            }
        try await self[host.name].run(["sh", "-ec", batched(commands)])
    }

    /// A veth is up some time after both its ends are, and a packet sent before that is lost.
    private func awaitCarrier(_ host: Topology.Host, ends: [(interface: String, mtu: Int)])
        async throws
    {
        let states =
            ends.map { ("\($0.interface)/operstate", "up") }
            + host.bridged.map { ("\($0)/brport/state", forwarding) }
        for (file, state) in states {
            let path = self[host.name].path("/sys/class/net/\(file)")
            try await eventually("\(file) of \(host.name) is \(state)") {
                try String(contentsOfFile: path, encoding: .utf8) == state + "\n"
            }
        }
    }
}

/// Far from the small numbers that the kernel gives by itself: it takes a veth with the same index
/// as its peer for no veth (`linkwatch_urgent_event`), and reports it up only a second later.
private let firstIndex = 1001

/// `BR_STATE_FORWARDING` of linux/if_bridge.h.
private let forwarding = "3"

/// Makes a network, lends it to `body`, and ends it whatever happens.
public func withNetwork<Result>(
    _ topology: Topology, isolation: isolated (any Actor)? = #isolation,
    _ body: (Network) async throws -> Result
) async throws -> Result {
    let network = try await Network.make(topology)
    do {
        let result = try await body(network)
        await network.end()
        return result
    } catch {
        await network.end()
        throw error
    }
}

/// VIPs and NAT addresses are never those that the kernel sends from; IPv6 would choose them for
/// being near a backend's.
private func lifetime(_ address: Topology.Address) -> String {
    [vip.v6, natAddress.v6].contains(address.prefix) ? " preferred_lft 0" : ""
}
