public import Packets

/// How a frame for a destination leaves this machine, as far as the kernel knows.
public enum Way: Hashable, Sendable {
    /// All that is needed to send is known.
    case open(Hop)
    /// The kernel does not know the MAC address of this neighbour yet.
    case waiting(for: IPAddress, on: LinkState)
    /// This neighbour was asked for its MAC address and did not answer.
    case silent(IPAddress, on: LinkState)
    /// There is none, with the reason in words.
    case closed(String)

    /// The first step of a frame's way.
    public struct Hop: Hashable, Sendable {
        /// What the packet leaves by.
        public var link: LinkState
        /// What the frame goes through in the end: `link`, or the card below it if it is a VLAN.
        public var card: LinkState
        /// The VLANs that the frame is tagged with, from the outside in.
        public var tags: [LinkState.VLAN]
        /// The frame's source: the MAC address of `link`.
        public var linkAddress: MACAddress
        /// The frame's destination: the MAC address of the neighbour.
        public var neighbour: MACAddress
        /// The IP address of ours that the kernel would send from.
        public var source: IPAddress
        /// The largest IP packet that gets through, as far as is known here: what `link` takes, or
        /// what the route does, if that is less.
        public var mtu: UInt32

        /// The most tags that a frame can have; IEEE 802.1Q knows a C-tag inside an S-tag.
        public static let tagLimit = 2

        /// What every link carries: RFC 791 §3.2. The kernel takes a route with less.
        public static let leastMTU: UInt32 = 68

        /// A hop of which all is known.
        ///
        /// - Parameters:
        ///   - card: Nil: `link` itself.
        ///   - routeMTU: Nil: the route has none of its own.
        public init(
            link: LinkState, card: LinkState? = nil, tags: [LinkState.VLAN] = [],
            linkAddress: MACAddress, neighbour: MACAddress, source: IPAddress,
            routeMTU: UInt32? = nil
        ) {
            self.link = link
            self.card = card ?? link
            self.tags = tags
            self.linkAddress = linkAddress
            self.neighbour = neighbour
            self.source = source
            mtu = min(link.mtu, max(routeMTU ?? link.mtu, Self.leastMTU))
        }
    }

    /// Why nothing can be sent now, in words; nil if it can.
    public var obstacle: String? {
        switch self {
        case .open: nil
        case .waiting(let address, let link): "waiting for \(address) to answer on \(link.name)"
        case .silent(let address, let link): "\(address) does not answer on \(link.name)"
        case .closed(let reason): reason
        }
    }
}

/// How frames leave by a link, whomever they are for.
public struct Exit: Hashable, Sendable {
    /// What the packet leaves by.
    public var link: LinkState
    /// What the frame goes through in the end: `link`, or the card below it if it is a VLAN.
    public var card: LinkState
    /// The VLANs that the frame is tagged with, from the outside in.
    public var tags: [LinkState.VLAN]
    /// The frame's source: the MAC address of `link`.
    public var address: MACAddress
}

extension Way.Hop {
    /// The same, without the neighbour.
    public var exit: Exit { Exit(link: link, card: card, tags: tags, address: linkAddress) }
}

extension LinkState {
    /// How frames leave by it; nil: none can, or it has no Ethernet addresses.
    public func exit(among links: [LinkState]) -> Exit? {
        guard let address, obstacle(of: self) == nil,
            let (card, tags) = try? descent(from: self, links)
        else { return nil }
        return Exit(link: self, card: card, tags: tags, address: address)
    }
}

/// The way to `destination`, worked out of what the kernel says.
///
/// `addresses` serve the reason only: the routes of a link vanish when it goes down, and then they
/// tell that it is the link that is missing.
public func way(
    to destination: IPAddress, route: Route, links: [LinkState], neighbours: [Neighbour],
    addresses: [InterfaceAddress] = []
) -> Way {
    switch route {
    case .unusable(.missing):
        let lost = links.first { link in
            !link.isUp
                && addresses.contains {
                    $0.interface == link.index && $0.shares(prefixWith: destination)
                }
        }
        let cause = lost.flatMap(obstacle(of:)).map { ": \($0)" } ?? ""
        return .closed("no route to \(destination)\(cause)")
    case .unusable(let obstacle):
        return .closed(reason(obstacle, destination))
    case .unicast(let interface, let gateway, let source, let mtu):
        guard let link = links.first(where: { $0.index == interface }) else {
            return .closed("interface \(interface), where \(destination) is, has gone")
        }
        if let obstacle = obstacle(of: link) { return .closed(obstacle) }
        guard let linkAddress = link.address else {
            return .closed("\(link.name) has no Ethernet address")
        }
        guard let source else {
            return .closed("this machine has no address to send to \(destination) from")
        }
        let (card, tags): (LinkState, [LinkState.VLAN])
        do throws(Dangling) { (card, tags) = try descent(from: link, links) } catch {
            return .closed(error.reason)
        }
        let hop = gateway ?? destination
        let known = neighbours.first { $0.interface == interface && $0.address == hop }
        if let known, known.state.isValid, let mac = known.mac {
            return .open(
                .init(
                    link: link, card: card, tags: tags, linkAddress: linkAddress, neighbour: mac,
                    source: source, routeMTU: mtu))
        }
        return known?.state == .failed ? .silent(hop, on: link) : .waiting(for: hop, on: link)
    }
}

/// A VLAN from which no frame gets to a card, with the reason in words.
private struct Dangling: Error {
    let reason: String
}

/// The card below `link`, and the tags of the VLANs on the way there, from the outside in.
private func descent(
    from link: LinkState, _ links: [LinkState]
) throws(Dangling) -> (card: LinkState, tags: [LinkState.VLAN]) {
    var (card, tags) = (link, [LinkState.VLAN]())
    while let vlan = card.vlan {
        guard tags.count < Way.Hop.tagLimit else {
            throw Dangling(
                reason: "\(link.name) needs more than \(Way.Hop.tagLimit) VLAN tags, which is what "
                    + "a frame can have")
        }
        guard let lower = links.first(where: { $0.index == vlan.lower }) else {
            throw Dangling(
                reason: "the interface below \(card.name) is not in this network namespace")
        }
        tags.insert(vlan, at: 0)
        card = lower
        if !card.isUp, let obstacle = obstacle(of: card) { throw Dangling(reason: obstacle) }
    }
    return (card, tags)
}

/// Why no frame can be sent to a neighbour on `link`; nil if one can.
private func obstacle(of link: LinkState) -> String? {
    if !link.flags.contains(.enabled) { return "\(link.name) is down" }
    if !link.flags.contains(.carrier) { return "\(link.name) has no carrier" }
    if link.flags.contains(.loopback) { return "\(link.name) leads to this machine itself" }
    if link.address == nil { return "\(link.name) has no Ethernet addresses" }
    if link.flags.contains(.noResolution) { return "\(link.name) resolves no addresses (NOARP)" }
    return nil
}

private func reason(_ obstacle: Route.Obstacle, _ destination: IPAddress) -> String {
    switch obstacle {
    case .missing: "no route to \(destination)"
    case .local: "\(destination) is an address of this machine"
    case .broadcast: "\(destination) is a broadcast address"
    case .multicast: "\(destination) is a multicast address"
    case .anycast: "\(destination) is an anycast address"
    case .blackhole: "the route to \(destination) is a blackhole"
    case .unreachable: "the route to \(destination) says that it is unreachable"
    case .prohibited: "the route to \(destination) prohibits it"
    case .unknown: "the route to \(destination) is of an unknown kind"
    }
}
