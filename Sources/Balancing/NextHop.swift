public import Packets

/// A VLAN that frames are tagged with: IEEE 802.1Q §9.6.
public struct VLANTag: Hashable, Sendable {
    /// 0x8100 or 0x88a8: what stands where the type of an untagged frame does.
    public var type: UInt16
    /// The VLAN's number, 0 to 4095.
    public var number: UInt16

    public init(type: UInt16, number: UInt16) {
        self.type = type
        self.number = number
    }
}

/// An interface that packets leave by, as the data plane needs to know it.
public struct Egress: Hashable, Sendable {
    /// The kernel's index of the device that the frames go through; never 0. Of a VLAN it is the
    /// card below it.
    public var index: UInt32
    /// What people call it. A plane need not know it.
    public var name: String
    /// The source of frames sent out of it.
    public var address: MACAddress
    /// The largest IP packet it carries, in bytes.
    public var mtu: UInt32
    /// How a frame that came in by this interface leaves by it again.
    public var turnaround: Turnaround
    /// What the frames are tagged with, from the outside in; at most ``tagLimit``.
    public var tags: [VLANTag]

    /// The most tags that a frame has on its way out.
    public static let tagLimit = 2

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
        turnaround: Turnaround = .transmit, tags: [VLANTag] = []
    ) {
        precondition(tags.count <= Self.tagLimit, "a frame has room for so many")
        self.index = index
        self.name = name
        self.address = address
        self.mtu = mtu
        self.turnaround = turnaround
        self.tags = tags
    }

    /// Whether they are the same, whatever people call them.
    func isSame(as other: Egress) -> Bool {
        var renamed = other
        renamed.name = name
        return self == renamed
    }
}

/// Where a packet for a backend leaves this node, and to whose MAC address.
public struct NextHop: Hashable, Sendable {
    public var egress: Egress
    /// The neighbour there: the backend itself or the router towards it.
    public var neighbour: MACAddress
    /// The address of ours that the kernel would send from; the source of a tunnel's outer header.
    public var source: IPAddress
    /// The largest IP packet that the route takes, in bytes, if that is less than what the egress
    /// carries; nil: it is not. Ways by one egress may differ in it.
    public var routeMTU: UInt32?

    public init(
        egress: Egress, neighbour: MACAddress, source: IPAddress, routeMTU: UInt32? = nil
    ) {
        self.egress = egress
        self.neighbour = neighbour
        self.source = source
        self.routeMTU = routeMTU
    }

    /// Whether packets go the same way: by what a plane knows, and not by what people call it.
    func isSameWay(as other: NextHop) -> Bool {
        var renamed = other
        renamed.egress.name = egress.name
        return self == renamed
    }
}

/// What is known of the way to an address.
public enum Reachability: Hashable, Sendable {
    case reachable(NextHop)
    /// With the reason in words: `no route`, `192.168.1.101 does not answer on eth1`.
    case unreachable(String)
}
