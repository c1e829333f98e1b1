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
        /// What the frame leaves by.
        public var link: LinkState
        /// The frame's source: the MAC address of `link`.
        public var linkAddress: MACAddress
        /// The frame's destination: the MAC address of the neighbour.
        public var neighbour: MACAddress
        /// The IP address of ours that the kernel would send from.
        public var source: IPAddress

        /// A hop of which all is known.
        public init(
            link: LinkState, linkAddress: MACAddress, neighbour: MACAddress, source: IPAddress
        ) {
            self.link = link
            self.linkAddress = linkAddress
            self.neighbour = neighbour
            self.source = source
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
    case .unicast(let interface, let gateway, let source):
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
        let hop = gateway ?? destination
        let known = neighbours.first { $0.interface == interface && $0.address == hop }
        if let known, known.state.isValid, let mac = known.mac {
            return .open(
                .init(link: link, linkAddress: linkAddress, neighbour: mac, source: source))
        }
        return known?.state == .failed ? .silent(hop, on: link) : .waiting(for: hop, on: link)
    }
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
