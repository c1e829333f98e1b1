public import Packets

/// An interface that packets leave by, as the data plane needs to know it.
public struct Egress: Hashable, Sendable {
    /// The kernel's interface index; never 0.
    public var index: UInt32
    public var name: String
    /// The source of frames sent out of it.
    public var address: MACAddress
    /// The largest IP packet it carries, in bytes.
    public var mtu: UInt32
    /// How a frame that came in by this interface leaves by it again.
    public var turnaround: Turnaround

    /// A way back out of the interface that a frame came in by.
    public enum Turnaround: Hashable, Sendable {
        /// The driver returns it with `XDP_TX`: the fastest where it works.
        case transmit
        /// As to any other interface. Veth needs it: its peer sleeps through `XDP_TX`, unless
        /// that one runs an XDP program too.
        case redirect
    }

    public init(
        index: UInt32, name: String, address: MACAddress, mtu: UInt32,
        turnaround: Turnaround = .transmit
    ) {
        self.index = index
        self.name = name
        self.address = address
        self.mtu = mtu
        self.turnaround = turnaround
    }
}

/// Where a packet for a backend leaves this node, and to whose MAC address.
public struct NextHop: Hashable, Sendable {
    public var egress: Egress
    /// The neighbour there: the backend itself or the router towards it.
    public var neighbour: MACAddress
    /// The address of ours that the kernel would send from; the source of a tunnel's outer header.
    public var source: IPAddress

    public init(egress: Egress, neighbour: MACAddress, source: IPAddress) {
        self.egress = egress
        self.neighbour = neighbour
        self.source = source
    }
}

/// What is known of the way to an address.
public enum Reachability: Hashable, Sendable {
    case reachable(NextHop)
    /// With the reason in words: `no route`, `192.168.1.101 does not answer on eth1`.
    case unreachable(String)
}
