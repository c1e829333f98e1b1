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
        _ = try await together(topology.hosts) { host in
            try await network.configure(host, ends: topology.ends(of: host.name))
            return (host.name, ())
        }
        return network
    }

    /// Ends all nodes.
    fileprivate func end() async {
        await withDiscardingTaskGroup { group in
            for node in nodes.values { group.addTask { await node.end() } }
        }
    }

    /// A link is born with its ends where they belong, so that the machine's own network never
    /// sees an interface. `ip` stays outside of the process namespace, where the path of the
    /// other node means something.
    private func connect(_ links: [Topology.Link]) async throws {
        for (host, links) in Dictionary(grouping: links, by: \.one.host) {
            let batch = links.map { link in
                """
                link add \(link.one.interface) mtu \(link.mtu) type veth \
                peer name \(link.other.interface) mtu \(link.mtu) \
                netns \(self[link.other.host].networkPath)
                """
            }
            try await self[host].runOutside(batched(batch))
        }
    }

    private func configure(
        _ host: Topology.Host, ends: [(interface: String, mtu: Int)]
    ) async throws {
        let offloads = ends.map { "ethtool -K \($0.interface) tx off rx off gro on" }
        let bridge = host.bridged.isEmpty
            ? [] : ["link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"]
        let commands =
            bridge + host.bridged.map { "link set \($0) master br0" }
            + ends.map { "link set \($0.interface) up" }
            + (host.bridged.isEmpty ? [] : ["link set br0 up"])
            + host.addresses.map { "address add \($0.prefix) dev \($0.interface)" }
            + host.routes.map { "route add \($0.destination) via \($0.gateway)" }
        let script = offloads.joined(separator: "\n") + "\n" + batched(commands)
        try await self[host.name].run(["sh", "-ec", script])
    }
}

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
