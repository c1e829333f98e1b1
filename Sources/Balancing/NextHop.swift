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

    public init(index: UInt32, name: String, address: MACAddress, mtu: UInt32) {
        self.index = index
        self.name = name
        self.address = address
        self.mtu = mtu
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
