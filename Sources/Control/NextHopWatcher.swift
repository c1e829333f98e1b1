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
        let socket = try RouteSocket()
        try await report(try look(socket))
        for await _ in monitor.changes {
            if Task.isCancelled { return }
            try await report(try look(socket))
        }
    }

    private func look(_ socket: borrowing RouteSocket) throws -> [IPAddress: Reachability] {
        let links = try socket.links()
        let neighbours = try socket.neighbours()
        var found: [IPAddress: Reachability] = [:]
        for address in addresses {
            let route = try socket.route(to: address)
            switch way(to: address, route: route, links: links, neighbours: neighbours) {
            case .open(let link, let mac, let source):
                guard let own = link.address else { continue }
                let egress = Egress(
                    index: link.index, name: link.name, address: own, mtu: link.mtu)
                found[address] = .reachable(
                    NextHop(egress: egress, neighbour: mac, source: source))
            case .unresolved(let neighbour, let link):
                try socket.resolve(neighbour, on: link.index)
            case .closed(let reason):
                found[address] = .unreachable(reason)
                // A neighbour that did not answer may do so now.
                if let route, route.kind == .unicast {
                    try? socket.resolve(route.gateway ?? address, on: route.interface)
                }
            }
        }
        return found
    }
}
