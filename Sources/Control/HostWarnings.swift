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

/// Why answers may not come back to clients, one warning a line or more, each with its cure.
///
/// Nothing of this is certain: a switch may route what is no address of this host to it, and it may
/// be set up later.
public func warnings(for desired: DesiredState, on host: HostSettings) -> [String] {
    let families = Set(
        desired.services.filter { $0.forwarding == .nat }.map(\.vip.prefix.family))
    let forwarding = IPFamily.allCases.filter {
        families.contains($0) && !host.forwarded.contains($0)
    }.map { family in
        let name = family == .v4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding"
        return "answers of nat backends stay here: this host forwards no \(family) packets\n"
            + "  sysctl -w \(name)=1"
    }
    let needed = Set(
        desired.services.filter { $0.forwarding == .fullNAT }.map(\.vip.prefix.family))
    let foreign = desired.natAddresses.filter {
        needed.contains($0.family) && !host.addresses.contains($0)
    }.map { address in
        "answers of full-nat backends may not come here: \(address) is no address of this host\n"
            + "  ip address add \(address)/\(address.family.bits) dev INTERFACE, unless "
            + "it is routed here"
    }
    return forwarding + refused(of: desired, on: host) + foreign
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
            + "packets from it\n  sysctl -w net.ipv4.conf.INTERFACE.accept_local=1 for the "
            + "interface to the backends"
    ]
}
