public import Packets

/// How a frame for a destination leaves this machine, as far as the kernel knows.
public enum Way: Hashable, Sendable {
    /// By this link, to this MAC address, from this address of ours.
    case open(LinkState, MACAddress, source: IPAddress)
    /// The kernel does not know this neighbour's MAC address yet.
    case unresolved(IPAddress, LinkState)
    /// With the reason in words.
    case closed(String)
}

/// The way to `destination`, worked out of what the kernel says.
public func way(
    to destination: IPAddress, route: Route?, links: [LinkState], neighbours: [Neighbour]
) -> Way {
    guard let route else { return .closed("no route to \(destination)") }
    switch route.kind {
    case .local: return .closed("\(destination) is an address of this machine")
    case .refused: return .closed("the route to \(destination) refuses packets")
    case .unicast: break
    }
    guard let link = links.first(where: { $0.index == route.interface }) else {
        return .closed("the route to \(destination) has no interface")
    }
    guard link.isUp else { return .closed("\(link.name) is down") }
    guard link.address != nil else { return .closed("\(link.name) is no Ethernet link") }
    guard let source = route.source else {
        return .closed("this machine has no address to send from on \(link.name)")
    }
    let hop = route.gateway ?? destination
    let entry = neighbours.first { $0.interface == link.index && $0.address == hop }
    switch (entry?.state, entry?.mac) {
    case (.known, let mac?): return .open(link, mac, source: source)
    case (.failed, _): return .closed("\(hop) does not answer on \(link.name)")
    default: return .unresolved(hop, link)
    }
}
