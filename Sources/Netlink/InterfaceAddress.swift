import CLinux
public import Packets

/// An address of an interface of this machine.
public struct InterfaceAddress: Hashable, Sendable {
    /// The kernel's number of the interface.
    public var interface: UInt32
    /// The address itself, not that of its subnet.
    public var address: IPAddress
    /// How many bits of the address all on this link share.
    public var prefixLength: UInt8

    /// An address as the kernel would tell it.
    public init(interface: UInt32, address: IPAddress, prefixLength: UInt8) {
        self.interface = interface
        self.address = address
        self.prefixLength = prefixLength
    }

    /// Whether `other` is in the same subnet.
    public func shares(prefixWith other: IPAddress) -> Bool {
        guard other.family == address.family else { return false }
        var bits = Int(prefixLength)
        for (ours, theirs) in zip(address.bytes, other.bytes) where bits > 0 {
            let mask = bits >= 8 ? UInt8.max : ~(UInt8.max >> UInt8(bits))
            guard (ours ^ theirs) & mask == 0 else { return false }
            bits -= 8
        }
        return true
    }
}

extension InterfaceAddress {
    /// Reads `RTM_NEWADDR`; nil for any other message and for any other family than IP's.
    init?(_ message: Message) throws(Malformed) {
        guard message.type == Int(RTM_NEWADDR) else { return nil }
        let fixed = try message.fixed(ifaddrmsg.self)
        let attributes = try message.attributes(after: ifaddrmsg.self)
        // On a point-to-point link IFA_ADDRESS is the other end's.
        let bytes = attributes.bytes(Int(IFA_LOCAL)) ?? attributes.bytes(Int(IFA_ADDRESS))
        guard let bytes, let address = IPAddress(bytes: bytes) else { return nil }
        self.init(
            interface: fixed.ifa_index, address: address, prefixLength: fixed.ifa_prefixlen)
    }
}
