import CLinux
import Glibc
public import Packets

/// An interface as the kernel has it now.
public struct LinkState: Hashable, Sendable {
    /// The kernel's number; never 0.
    public let index: UInt32
    public let name: String
    /// Nil where the link has no Ethernet addresses.
    public let address: MACAddress?
    /// The largest IP packet, in bytes.
    public let mtu: UInt32
    /// Switched on, with a carrier.
    public let isUp: Bool

    public init(index: UInt32, name: String, address: MACAddress?, mtu: UInt32, isUp: Bool) {
        self.index = index
        self.name = name
        self.address = address
        self.mtu = mtu
        self.isUp = isUp
    }

    init?(_ message: Message) {
        guard message.type == Int(RTM_NEWLINK), let fixed = message.fixed(ifinfomsg.self)
        else { return nil }
        let attributes = message.attributes(after: ifinfomsg.self)
        guard let name = attributes.text(Int(IFLA_IFNAME)) else { return nil }
        let flags = fixed.ifi_flags
        let isEthernet = fixed.ifi_type == 1  // ARPHRD_ETHER of <linux/if_arp.h>
        self.init(
            index: UInt32(bitPattern: fixed.ifi_index), name: name,
            address: isEthernet
                ? attributes.bytes(Int(IFLA_ADDRESS)).flatMap { MACAddress(bytes: $0) } : nil,
            mtu: attributes.integer(Int(IFLA_MTU)) ?? 0,
            isUp: flags & UInt32(IFF_UP) != 0
                && flags & UInt32(IFF_RUNNING) != 0)
    }
}

/// An address of an interface.
public struct InterfaceAddress: Hashable, Sendable {
    public let interface: UInt32
    public let address: IPAddress
    /// In bits.
    public let prefixLength: UInt8

    init?(_ message: Message) {
        guard message.type == Int(RTM_NEWADDR), let fixed = message.fixed(ifaddrmsg.self)
        else { return nil }
        let attributes = message.attributes(after: ifaddrmsg.self)
        // On a point-to-point link IFA_ADDRESS is the other end's.
        let bytes = attributes.bytes(Int(IFA_LOCAL)) ?? attributes.bytes(Int(IFA_ADDRESS))
        guard let bytes, let address = IPAddress(bytes: bytes) else { return nil }
        interface = fixed.ifa_index
        self.address = address
        prefixLength = fixed.ifa_prefixlen
    }
}

/// The way to one destination.
public struct Route: Hashable, Sendable {
    /// What the kernel does with a packet that takes it.
    public enum Kind: Hashable, Sendable {
        case unicast
        /// The destination is an address of this machine.
        case local
        /// It is dropped or refused.
        case refused
    }

    public let kind: Kind
    /// The interface that packets leave by.
    public let interface: UInt32
    /// The router; nil: the destination is on the link.
    public let gateway: IPAddress?
    /// The address that the kernel would send from.
    public let source: IPAddress?

    public init(kind: Kind, interface: UInt32, gateway: IPAddress?, source: IPAddress?) {
        self.kind = kind
        self.interface = interface
        self.gateway = gateway
        self.source = source
    }

    init?(_ message: Message) {
        guard message.type == Int(RTM_NEWROUTE), let fixed = message.fixed(rtmsg.self)
        else { return nil }
        let attributes = message.attributes(after: rtmsg.self)
        // RTA_VIA begins with the family: a gateway of another family than the destination's.
        let via = attributes.bytes(Int(RTA_VIA.rawValue))?.dropFirst(2)
        let gateway = attributes.bytes(Int(RTA_GATEWAY.rawValue)) ?? via
        self.init(
            kind: Self.kind(fixed.rtm_type),
            interface: attributes.integer(Int(RTA_OIF.rawValue)) ?? 0,
            gateway: gateway.flatMap { IPAddress(bytes: $0) },
            source: attributes.bytes(Int(RTA_PREFSRC.rawValue)).flatMap { IPAddress(bytes: $0) })
    }

    private static func kind(_ type: UInt8) -> Kind {
        switch Int(type) {
        case Int(RTN_UNICAST): .unicast
        case Int(RTN_LOCAL): .local
        default: .refused
        }
    }
}

/// What the kernel knows of an address on a link.
public struct Neighbour: Hashable, Sendable {
    public enum State: Hashable, Sendable {
        /// Its MAC address is known, if not confirmed lately.
        case known
        /// It is being asked for.
        case asking
        /// It did not answer.
        case failed
    }

    public let interface: UInt32
    public let address: IPAddress
    public let mac: MACAddress?
    public let state: State

    public init(interface: UInt32, address: IPAddress, mac: MACAddress?, state: State) {
        self.interface = interface
        self.address = address
        self.mac = mac
        self.state = state
    }

    init?(_ message: Message) {
        guard message.type == Int(RTM_NEWNEIGH), let fixed = message.fixed(ndmsg.self)
        else { return nil }
        let attributes = message.attributes(after: ndmsg.self)
        guard let bytes = attributes.bytes(Int(NDA_DST)), let address = IPAddress(bytes: bytes)
        else { return nil }
        self.init(
            interface: UInt32(bitPattern: fixed.ndm_ifindex), address: address,
            mac: attributes.bytes(Int(NDA_LLADDR)).flatMap { MACAddress(bytes: $0) },
            state: Self.state(Int32(fixed.ndm_state)))
    }

    private static func state(_ bits: Int32) -> State {
        if bits & Int32(NUD_FAILED) != 0 { return .failed }
        return bits & Int32(NUD_INCOMPLETE) != 0 || bits == 0 ? .asking : .known
    }
}
