import CDatapath
public import Packets

/// The ends of a flow, with what tells it from others.
public struct Flow: Hashable, Sendable {
    public var source: IPAddress
    public var destination: IPAddress
    public var sourcePort: UInt16 = 0
    public var destinationPort: UInt16 = 0
    public var transport: UInt8

    public init(
        source: IPAddress, destination: IPAddress, sourcePort: UInt16 = 0,
        destinationPort: UInt16 = 0, transport: UInt8
    ) {
        self.source = source
        self.destination = destination
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.transport = transport
    }

    /// What is hashed, as it stands in the packet: addresses, ports, protocol.
    var hashedBytes: [UInt8] {
        source.bytes + destination.bytes + big(sourcePort) + big(destinationPort) + [transport]
    }
}

/// What is read of a frame before anything is looked up.
struct Packet {
    enum Kind {
        /// TCP or UDP, with ports.
        case flow
        case icmp
        case laterFragment
        case other
    }

    /// A packet of which this is not all.
    struct Fragmentation {
        var identification: UInt32
        var offset: Int
    }

    let frame: [UInt8]
    var tags: [Tag] = []
    /// Where the IP packet begins, and how long it is by its own word.
    var ipStart = 0
    var ipBytes = 0
    /// Where the transport header begins, and how much of the packet is left there.
    var transportStart = 0
    var left = 0
    var trafficClass: UInt8 = 0
    var ttl: UInt8 = 0
    var flow: Flow
    var kind = Kind.other
    var fragmentation: Fragmentation?
    var isNewFlow = false
    /// Of an error: how long the IP header is that it quotes, with that of a first fragment.
    var quotedBytes = 0
    /// Whether it has FIN or RST.
    var endsFlow = false
    /// The verdict, if it is for a VIP.
    var problem: martlet_verdict?

    var family: IPFamily { flow.destination.family }
    /// The packet without link header and padding.
    var ipPacket: ArraySlice<UInt8> { frame[ipStart..<ipStart + ipBytes] }
    var isFirstFragment: Bool { fragmentation?.offset == 0 }

    /// From or to an address that no packet to a VIP can have: a group as the frame's destination
    /// (IEEE 802 §8.2.2), or a source that RFC 1122 §3.2.1.3 and RFC 4291 §2 rule out.
    var isMartian: Bool {
        if frame[0] & 1 == 1 || flow.source == flow.destination { return true }
        switch flow.source {
        case .v4(let address):
            let first = address.number >> 24
            return first == 0 || first == 127 || first >= 224
        case .v6(let address):
            let number = address.number
            return number <= 1 || number >> 120 == 0xff || number >> 32 == 0xffff
        }
    }
}

/// Reads numbers out of bytes; nil beyond their end.
extension [UInt8] {
    func byte(_ at: Int) -> UInt8? { at >= 0 && at < count ? self[at] : nil }

    func number16(_ at: Int) -> UInt16? {
        guard let high = byte(at), let low = byte(at + 1) else { return nil }
        return UInt16(high) << 8 | UInt16(low)
    }

    func number32(_ at: Int) -> UInt32? {
        guard let high = number16(at), let low = number16(at + 2) else { return nil }
        return UInt32(high) << 16 | UInt32(low)
    }

    func address(_ at: Int, _ family: IPFamily) -> IPAddress? {
        switch family {
        case .v4: return number32(at).map { .v4(IPv4Address($0)) }
        case .v6:
            guard at + 16 <= count else { return nil }
            return .v6(IPv6Address(self[at..<at + 16].reduce(0) { $0 << 8 | UInt128($1) }))
        }
    }
}
