import CDatapath
import Packets

/// What came of reading a frame.
enum Parsed {
    case packet(Packet)
    /// Decided, whoever it is for.
    case verdict(martlet_verdict)
}

/// Reads a frame: docs/life-of-a-packet.md §1.
func parse(_ frame: [UInt8]) -> Parsed {
    guard frame.count >= 14, var type = frame.number16(12) else {
        return .verdict(MARTLET_DROP_TRUNCATED)
    }
    var at = 14
    var tags: [Tag] = []
    while type == 0x8100 || type == 0x88a8, tags.count < Int(MARTLET_VLAN_LIMIT.rawValue) {
        guard let control = frame.number16(at), let next = frame.number16(at + 2) else {
            return .verdict(MARTLET_DROP_TRUNCATED)
        }
        tags.append(Tag(type: type, control: control))
        type = next
        at += 4
    }
    switch type {
    case 0x0800: return parseIPv4(frame, at, tags)
    case 0x86dd: return parseIPv6(frame, at, tags)
    default: return .verdict(MARTLET_PASS_NOT_IP)
    }
}

/// RFC 791 §3.1.
private func parseIPv4(_ frame: [UInt8], _ at: Int, _ tags: [Tag]) -> Parsed {
    guard at + 20 <= frame.count, let length = frame.number16(at + 2),
        let fragment = frame.number16(at + 6), let identification = frame.number16(at + 4),
        let source = frame.address(at + 12, .v4), let destination = frame.address(at + 16, .v4)
    else { return .verdict(MARTLET_DROP_TRUNCATED) }
    let header = Int(frame[at] & 15) * 4
    guard frame[at] >> 4 == 4, header >= 20, Int(length) >= header else {
        return .verdict(MARTLET_DROP_MALFORMED)
    }
    guard at + Int(length) <= frame.count else { return .verdict(MARTLET_DROP_TRUNCATED) }
    var packet = Packet(
        frame: frame,
        flow: Flow(source: source, destination: destination, transport: frame[at + 9]))
    packet.tags = tags
    (packet.ipStart, packet.ipBytes) = (at, Int(length))
    (packet.trafficClass, packet.ttl) = (frame[at + 1], frame[at + 8])
    if fragment & 0x3fff != 0 {
        packet.fragmentation = Packet.Fragmentation(
            // The two bytes stand first in the four of a key.
            identification: UInt32(identification) << 16, offset: Int(fragment & 0x1fff) * 8)
    }
    (packet.transportStart, packet.left) = (at + header, Int(length) - header)
    packet.problem = readTransport(&packet)
    return .packet(packet)
}

/// RFC 8200 §3.
private func parseIPv6(_ frame: [UInt8], _ at: Int, _ tags: [Tag]) -> Parsed {
    guard at + 40 <= frame.count, let first = frame.number16(at),
        let payload = frame.number16(at + 4),
        let source = frame.address(at + 8, .v6), let destination = frame.address(at + 24, .v6)
    else { return .verdict(MARTLET_DROP_TRUNCATED) }
    guard frame[at] >> 4 == 6 else { return .verdict(MARTLET_DROP_MALFORMED) }
    guard at + 40 + Int(payload) <= frame.count else { return .verdict(MARTLET_DROP_TRUNCATED) }
    var packet = Packet(
        frame: frame,
        flow: Flow(source: source, destination: destination, transport: frame[at + 6]))
    packet.tags = tags
    (packet.ipStart, packet.ipBytes) = (at, 40 + Int(payload))
    (packet.trafficClass, packet.ttl) = (UInt8(first >> 4 & 255), frame[at + 7])
    (packet.transportStart, packet.left) = (at + 40, Int(payload))
    packet.problem = stepOverExtensions(&packet) ?? readTransport(&packet)
    return .packet(packet)
}

/// RFC 8200 §4: hop-by-hop, routing, fragment, authentication (RFC 4302), destination options.
private let extensionNumbers: Set<UInt8> = [0, 43, 44, 51, 60]

/// Walks to the transport header; returns what is wrong on the way.
private func stepOverExtensions(_ packet: inout Packet) -> martlet_verdict? {
    var steps = 0
    while extensionNumbers.contains(packet.flow.transport),
        packet.fragmentation.map({ $0.offset == 0 }) ?? true
    {
        guard steps < Int(MARTLET_EXTENSION_LIMIT.rawValue) else { return MARTLET_DROP_EXTENSIONS }
        steps += 1
        let (kind, at) = (packet.flow.transport, packet.transportStart)
        guard packet.left >= 8, let word = packet.frame.number32(at),
            let identification = packet.frame.number32(at + 4)
        else { return MARTLET_DROP_TRUNCATED }
        let size = Int(word >> 16 & 255)
        let length = kind == 44 ? 8 : kind == 51 ? (size + 2) * 4 : (size + 1) * 8
        guard packet.left >= length else { return MARTLET_DROP_TRUNCATED }
        // The fourth byte of a routing header is the number of segments left: §4.4.
        if kind == 43, word & 255 != 0 { return MARTLET_DROP_SOURCE_ROUTED }
        // §4.5; one that is the whole packet is none: RFC 6946.
        if kind == 44, word & 0xfff9 != 0 {
            packet.fragmentation = Packet.Fragmentation(
                identification: identification, offset: Int(word & 0xfff8))
        }
        packet.transportStart += length
        packet.left -= length
        packet.flow.transport = UInt8(word >> 24)
    }
    return nil
}

/// Reads ports and flags; returns what is wrong with the header.
private func readTransport(_ packet: inout Packet) -> martlet_verdict? {
    if let fragmentation = packet.fragmentation, fragmentation.offset > 0 {
        packet.kind = .laterFragment
        return nil
    }
    switch (packet.flow.transport, packet.family) {
    case (6, _): return readTCP(&packet)
    case (17, _): return readUDP(&packet)
    case (1, .v4), (58, .v6):
        packet.kind = .icmp
        return packet.left >= 8 ? nil : MARTLET_DROP_TRUNCATED
    default: return nil
    }
}

/// RFC 9293 §3.1.
private func readTCP(_ packet: inout Packet) -> martlet_verdict? {
    let at = packet.transportStart
    guard packet.left >= 20, let ports = packet.frame.number32(at),
        let word = packet.frame.number16(at + 12)
    else { return MARTLET_DROP_TRUNCATED }
    let header = Int(word >> 12) * 4
    guard header >= 20, packet.left >= header else { return MARTLET_DROP_MALFORMED }
    packet.kind = .flow
    packet.isNewFlow = word & 0x12 == 0x02
    packet.endsFlow = word & 0x05 != 0
    packet.setPorts(ports)
    return nil
}

/// RFC 768.
private func readUDP(_ packet: inout Packet) -> martlet_verdict? {
    let at = packet.transportStart
    guard packet.left >= 8, let ports = packet.frame.number32(at),
        let length = packet.frame.number16(at + 4)
    else { return MARTLET_DROP_TRUNCATED }
    guard length >= 8, Int(length) <= packet.left || packet.isFirstFragment else {
        return MARTLET_DROP_MALFORMED
    }
    packet.kind = .flow
    packet.setPorts(ports)
    return nil
}

extension Packet {
    fileprivate mutating func setPorts(_ ports: UInt32) {
        flow.sourcePort = UInt16(ports >> 16)
        flow.destinationPort = UInt16(truncatingIfNeeded: ports)
    }
}
