public import Balancing
public import Netlink
public import Packets
import Synchronization

/// Finds the ways to the backends and follows their changes: routes, links and neighbours.
public final class NextHopWatcher: Sendable {
    private let wanted: Mutex<(addresses: [IPAddress], interfaces: Set<String>)>
    private let monitor: RouteMonitor

    /// What is known of the ways at a moment.
    public struct News: Sendable {
        /// To the backends.
        public var ways: [IPAddress: Reachability]
        /// Out of this node, for the answers that come back through it: see
        /// ``PlaneContents/exits``.
        public var exits: [UInt32: Egress]
        /// Of the backends that are behind a router, the first router on the way.
        public var routers: [IPAddress: IPAddress] = [:]
    }

    /// Listens from now on, so that no change between a look and the next is missed.
    ///
    /// - Parameters:
    ///   - addresses: Of the backends.
    ///   - interfaces: On which the program runs: answers leave by these and by their VLANs.
    public init(_ addresses: Set<IPAddress>, on interfaces: [String]) throws(Failure) {
        wanted = Mutex((addresses.sorted(), Set(interfaces)))
        monitor = try RouteMonitor()
    }

    /// Looks for other ways from now on.
    public func follow(_ addresses: Set<IPAddress>, on interfaces: [String]) {
        wanted.withLock { $0 = (addresses.sorted(), Set(interfaces)) }
        monitor.prompt()
    }

    /// Reports what is known now, and again whenever something may have changed, until cancelled.
    ///
    /// An address that the kernel is still asking for is not in the report: what was known before
    /// holds until it has an answer.
    public func run(
        report: @Sendable (News) async throws -> Void
    ) async throws {
        var socket = try RouteSocket()
        try await report(try look(&socket))
        for await _ in monitor.changes {
            if Task.isCancelled { return }
            try await report(try look(&socket))
        }
    }

    private func look(_ socket: inout RouteSocket) throws -> News {
        let links = try socket.links()
        let (addresses, interfaces) = wanted.withLock(\.self)
        var news = News(ways: [:], exits: exits(on: interfaces, among: links))
        try findWays(to: addresses, over: links, &socket, &news)
        return news
    }

    private func findWays(
        to addresses: [IPAddress], over links: [LinkState], _ socket: inout RouteSocket,
        _ news: inout News
    ) throws {
        let neighbours = try socket.neighbours()
        let ours = try socket.addresses()
        for address in addresses {
            let route = try socket.route(to: address)
            if case .unicast(_, let router?, _, _) = route { news.routers[address] = router }
            let way = way(
                to: address, route: route, links: links, neighbours: neighbours, addresses: ours)
            switch way {
            case .open(let hop):
                news.ways[address] = .reachable(NextHop(hop))
            case .waiting(let neighbour, let link):
                try socket.resolve(neighbour, on: link.index)
            case .silent(let neighbour, let link):
                news.ways[address] = .unreachable("\(neighbour) does not answer on \(link.name)")
                // It may do so now.
                try? socket.resolve(neighbour, on: link.index)
            case .closed(let reason):
                news.ways[address] = .unreachable(reason)
            }
        }
    }
}

/// The interfaces of these names and the VLANs on top of them: those by which a frame can be sent
/// that is redirected to a card where the program runs.
func exits(on interfaces: Set<String>, among links: [LinkState]) -> [UInt32: Egress] {
    let cards = Set(links.filter { interfaces.contains($0.name) }.map(\.index))
    var exits: [UInt32: Egress] = [:]
    for link in links {
        guard let exit = link.exit(among: links),
            cards.contains(link.index) || cards.contains(exit.card.index)
        else { continue }
        exits[link.index] = Egress(exit)
    }
    return exits
}

extension NextHop {
    init(_ hop: Way.Hop) {
        self.init(
            egress: Egress(hop.exit), neighbour: hop.neighbour, source: hop.source,
            routeMTU: hop.mtu < hop.link.mtu ? hop.mtu : nil)
    }
}

extension Egress {
    init(_ exit: Exit) {
        self.init(
            index: exit.card.index, name: exit.link.name, address: exit.address,
            mtu: exit.link.mtu, turnaround: exit.card.kind == "veth" ? .redirect : .transmit,
            tags: exit.tags.map { VLANTag(type: $0.type, number: $0.number) })
    }
}
