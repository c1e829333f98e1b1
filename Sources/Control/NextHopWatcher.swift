public import Balancing
public import Netlink
public import Packets

/// Finds the ways to the backends and follows their changes: routes, links and neighbours.
public struct NextHopWatcher: Sendable {
    private let addresses: [IPAddress]
    private let monitor: RouteMonitor

    /// Listens from now on, so that no change between a look and the next is missed.
    public init(_ addresses: Set<IPAddress>) throws(Failure) {
        self.addresses = addresses.sorted()
        monitor = try RouteMonitor()
    }

    /// Reports what is known now, and again whenever something may have changed, until cancelled.
    ///
    /// An address that the kernel is still asking for is not in the report: what was known before
    /// holds until it has an answer.
    public func run(
        report: @Sendable ([IPAddress: Reachability]) async throws -> Void
    ) async throws {
        var socket = try RouteSocket()
        try await report(try look(&socket))
        for await _ in monitor.changes {
            if Task.isCancelled { return }
            try await report(try look(&socket))
        }
    }

    private func look(_ socket: inout RouteSocket) throws -> [IPAddress: Reachability] {
        let links = try socket.links()
        let neighbours = try socket.neighbours()
        let ours = try socket.addresses()
        var found: [IPAddress: Reachability] = [:]
        for address in addresses {
            let route = try socket.route(to: address)
            let way = way(
                to: address, route: route, links: links, neighbours: neighbours, addresses: ours)
            switch way {
            case .open(let hop):
                let egress = Egress(
                    index: hop.card.index, name: hop.link.name, address: hop.linkAddress,
                    mtu: hop.link.mtu,
                    turnaround: hop.card.kind == "veth" ? .redirect : .transmit,
                    tags: hop.tags.map { VLANTag(type: $0.type, number: $0.number) })
                found[address] = .reachable(
                    NextHop(egress: egress, neighbour: hop.neighbour, source: hop.source))
            case .waiting(let neighbour, let link):
                try socket.resolve(neighbour, on: link.index)
            case .silent(let neighbour, let link):
                found[address] = .unreachable("\(neighbour) does not answer on \(link.name)")
                // It may do so now.
                try? socket.resolve(neighbour, on: link.index)
            case .closed(let reason):
                found[address] = .unreachable(reason)
            }
        }
        return found
    }
}
