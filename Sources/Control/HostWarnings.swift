public import Balancing
public import Packets

/// What is set up on this host, as far as answers of backends depend on it.
public struct HostSettings: Hashable, Sendable {
    /// Families whose packets the kernel forwards: `net.ipv4.ip_forward`,
    /// `net.ipv6.conf.all.forwarding`.
    public var forwarded: Set<IPFamily>
    /// The addresses of all interfaces.
    public var addresses: Set<IPAddress>
    /// Interfaces on which the kernel takes IPv4 packets from its own addresses:
    /// `net.ipv4.conf.*.accept_local`; `all` is one that stands for all.
    public var acceptingLocal: Set<String>

    public init(
        forwarded: Set<IPFamily>, addresses: Set<IPAddress>, acceptingLocal: Set<String> = []
    ) {
        self.forwarded = forwarded
        self.addresses = addresses
        self.acceptingLocal = acceptingLocal
    }
}

/// Why packets may not come here, or answers not back to clients, one warning a line or more, each
/// with its cure.
///
/// Nothing of this is certain: a switch may route what is no address of this host to it, and it may
/// be set up later.
public func warnings(for desired: DesiredState, on host: HostSettings) -> [String] {
    foreignVIPs(of: desired, on: host) + unforwarded(of: desired, on: host)
        + refused(of: desired, on: host) + foreignNATAddresses(of: desired, on: host)
        + uselessSettings(of: desired)
}

/// What a configuration has for nothing.
public func uselessSettings(of desired: DesiredState) -> [String] {
    guard !desired.natAddresses.isEmpty,
        !desired.services.contains(where: { $0.forwarding == .fullNAT })
    else { return [] }
    return [
        "nat-addresses are for nothing: no service has forwarding: full-nat\n"
            + "  remove them, or choose full-nat where they are to be used"
    ]
}

/// The interface that a cure is for, if there is no choice.
private func interface(of desired: DesiredState) -> String {
    desired.interfaces.count == 1 ? desired.interfaces[0] : "INTERFACE"
}

/// Nobody sends packets to a VIP that the kernel does not answer for, unless by a route. Of a block
/// of addresses there is a route in any case.
private func foreignVIPs(of desired: DesiredState, on host: HostSettings) -> [String] {
    let vips = Set(desired.services.map(\.vip.prefix).filter(\.isSingle).map(\.base))
    return vips.subtracting(host.addresses).sorted().map { vip in
        let lifetime = vip.family == .v4 ? "" : " preferred_lft 0"
        return "packets for \(vip) may not come here: it is no address of this host\n"
            + "  ip address add \(vip)/\(vip.family.bits) dev \(interface(of: desired))"
            + "\(lifetime), unless it is routed here"
    }
}

private func unforwarded(of desired: DesiredState, on host: HostSettings) -> [String] {
    let families = Set(
        desired.services.filter { $0.forwarding == .nat }.map(\.vip.prefix.family))
    return IPFamily.allCases.filter {
        families.contains($0) && !host.forwarded.contains($0)
    }.map { family in
        let name = family == .v4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding"
        return "answers of nat backends stay here: this host forwards no \(family) packets\n"
            + "  sysctl -w \(name)=1"
    }
}

private func foreignNATAddresses(of desired: DesiredState, on host: HostSettings) -> [String] {
    let needed = Set(
        desired.services.filter { $0.forwarding == .fullNAT }.map(\.vip.prefix.family))
    return desired.natAddresses.filter {
        needed.contains($0.family) && !host.addresses.contains($0)
    }.map { address in
        "answers of full-nat backends may not come here: \(address) is no address of this host\n"
            + "  ip address add \(address)/\(address.family.bits) dev "
            + "\(interface(of: desired)), unless it is routed here"
    }
}

/// Answers that the kernel is to send come from a VIP, which it refuses if it has the VIP itself.
private func refused(of desired: DesiredState, on host: HostSettings) -> [String] {
    let own = desired.services.filter { $0.forwarding == .nat }.map(\.vip.prefix.base)
        .filter { $0.family == .v4 && host.addresses.contains($0) }.min()
    guard let own, host.acceptingLocal.isDisjoint(with: desired.interfaces + ["all"]) else {
        return []
    }
    return [
        "answers of nat backends may stay here: \(own) is an address of this host, which refuses "
            + "packets from it\n  sysctl -w net.ipv4.conf.\(interface(of: desired)).accept_local=1"
            + (desired.interfaces.count == 1 ? "" : " for the interface to the backends")
    ]
}
