public import Balancing
public import Packets

/// What is set up on this host, as far as answers of backends depend on it.
public struct HostSettings: Hashable, Sendable {
    /// Families whose packets the kernel forwards: `net.ipv4.ip_forward`,
    /// `net.ipv6.conf.all.forwarding`.
    public var forwarded: Set<IPFamily>
    /// The addresses of all interfaces.
    public var addresses: Set<IPAddress>

    public init(forwarded: Set<IPFamily>, addresses: Set<IPAddress>) {
        self.forwarded = forwarded
        self.addresses = addresses
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
    return forwarding + foreign
}
