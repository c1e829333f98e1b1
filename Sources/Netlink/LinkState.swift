import CLinux
public import Packets

/// An interface as the kernel has it now.
public struct LinkState: Hashable, Sendable {
    /// The kernel's number; never 0.
    public var index: UInt32
    /// `eth1`: what `ip link` calls it.
    public var name: String
    /// Nil where the link has no Ethernet addresses: loopback, tun.
    public var address: MACAddress?
    /// The largest IP packet, in bytes.
    public var mtu: UInt32
    /// Whether it is switched on, has a carrier, and the like.
    public var flags: Flags
    /// The XDP programs attached to it, at most one for each mode.
    public var programs: [XDPProgram]
    /// `veth`, `bridge`, …: what kind of virtual link it is; nil for a network card.
    public var kind: String?
    /// What a link of the kind `vlan` adds to frames, and where they go then.
    public var vlan: VLAN?

    /// A link as the kernel would tell it.
    public init(
        index: UInt32, name: String, address: MACAddress?, mtu: UInt32, flags: Flags,
        programs: [XDPProgram] = [], kind: String? = nil, vlan: VLAN? = nil
    ) {
        self.index = index
        self.name = name
        self.address = address
        self.mtu = mtu
        self.flags = flags
        self.programs = programs
        self.kind = kind
        self.vlan = vlan
    }

    /// A VLAN on top of another link: IEEE 802.1Q §9.6.
    public struct VLAN: Hashable, Sendable {
        /// 0x8100 or 0x88a8: what stands where the type of an untagged frame does.
        public var type: UInt16
        /// The VLAN's number, 0 to 4095.
        public var number: UInt16
        /// The link below it; nil: it is in another network namespace.
        public var lower: UInt32?

        /// A VLAN as the kernel would tell it.
        public init(type: UInt16, number: UInt16, lower: UInt32?) {
            self.type = type
            self.number = number
            self.lower = lower
        }
    }

    /// What can be said of a link by yes or no: the `IFF_` flags of netdevice(7) we care about.
    public struct Flags: OptionSet, Hashable, Sendable {
        /// The bits that the kernel uses: `ifi_flags`.
        public let rawValue: UInt32
        /// The flags with these bits.
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// Switched on by the administrator: `IFF_UP`.
        public static let enabled = Flags(rawValue: UInt32(LINUX_IFF_UP))
        /// It has a carrier: `IFF_LOWER_UP`.
        public static let carrier = Flags(rawValue: UInt32(LINUX_IFF_LOWER_UP))
        /// The link to this machine itself: `IFF_LOOPBACK`.
        public static let loopback = Flags(rawValue: UInt32(LINUX_IFF_LOOPBACK))
        /// Neighbours are not asked for their addresses: `IFF_NOARP`.
        public static let noResolution = Flags(rawValue: UInt32(LINUX_IFF_NOARP))

        static let all: Flags = [.enabled, .carrier, .loopback, .noResolution]
    }

    /// Whether packets can leave by it: switched on, with a carrier.
    public var isUp: Bool { flags.isSuperset(of: [.enabled, .carrier]) }
}

/// An XDP program on a link.
public struct XDPProgram: Hashable, Sendable {
    /// Where it runs.
    public enum Mode: Hashable, Sendable {
        /// In the driver.
        case native
        /// In the kernel's network stack.
        case generic
        /// In the network card.
        case offloaded
    }

    /// Where it runs.
    public var mode: Mode
    /// The kernel's number of the program, as `ip link` and `bpftool` show it.
    public var id: UInt32

    /// A program as the kernel would tell it.
    public init(mode: Mode, id: UInt32) {
        self.mode = mode
        self.id = id
    }
}

extension LinkState {
    /// Reads `RTM_NEWLINK`; nil for any other message.
    init?(_ message: Message) throws(Malformed) {
        guard message.type == Int(RTM_NEWLINK) else { return nil }
        let fixed = try message.fixed(ifinfomsg.self)
        let attributes = try message.attributes(after: ifinfomsg.self)
        guard let name = attributes.text(Int(IFLA_IFNAME)),
            let mtu = try attributes.integer(Int(IFLA_MTU), as: UInt32.self)
        else { throw Malformed(reason: "link \(fixed.ifi_index) has no name or no MTU") }
        let isEthernet = Int(fixed.ifi_type) == LINUX_ARPHRD_ETHER
        let address = attributes.bytes(Int(IFLA_ADDRESS)).flatMap { MACAddress(bytes: $0) }
        self.init(
            index: UInt32(bitPattern: fixed.ifi_index), name: name,
            address: isEthernet ? address : nil, mtu: mtu,
            flags: Flags(rawValue: fixed.ifi_flags).intersection(.all),
            programs: try attachedPrograms(attributes.nested(Int(IFLA_XDP))),
            kind: try attributes.nested(Int(IFLA_LINKINFO))?.text(Int(IFLA_INFO_KIND)),
            vlan: try vlanOnTop(attributes))
    }
}

/// Reads `IFLA_LINKINFO` of a link of the kind `vlan`; nil for one of another kind.
private func vlanOnTop(_ attributes: Attributes) throws(Malformed) -> LinkState.VLAN? {
    let information = try attributes.nested(Int(IFLA_LINKINFO))
    guard information?.text(Int(IFLA_INFO_KIND)) == "vlan",
        let data = try information?.nested(Int(IFLA_INFO_DATA)),
        let number = try data.integer(Int(IFLA_VLAN_ID), as: UInt16.self)
    else { return nil }
    // In network order. Kernels before 3.10 knew one type, and did not tell it.
    let type = try data.integer(Int(IFLA_VLAN_PROTOCOL), as: UInt16.self)
    // IFLA_LINK is a number of another namespace if there is an IFLA_LINK_NETNSID.
    let isElsewhere = attributes.bytes(Int(IFLA_LINK_NETNSID)) != nil
    return LinkState.VLAN(
        type: type.map(UInt16.init(bigEndian:)) ?? 0x8100, number: number,
        lower: isElsewhere ? nil : try attributes.integer(Int(IFLA_LINK), as: UInt32.self))
}

/// Reads `IFLA_XDP`: the kernel gives each mode that has a program an attribute of its own.
private func attachedPrograms(_ attributes: Attributes?) throws(Malformed) -> [XDPProgram] {
    guard let attributes else { return [] }
    let ids: [(XDPProgram.Mode, Int)] = [
        (.native, Int(IFLA_XDP_DRV_PROG_ID)), (.generic, Int(IFLA_XDP_SKB_PROG_ID)),
        (.offloaded, Int(IFLA_XDP_HW_PROG_ID)),
    ]
    var programs: [XDPProgram] = []
    for (mode, attribute) in ids {
        if let id = try attributes.integer(attribute, as: UInt32.self) {
            programs.append(XDPProgram(mode: mode, id: id))
        }
    }
    return programs
}
