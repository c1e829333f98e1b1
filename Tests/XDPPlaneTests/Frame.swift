import Packets

/// Builds frames for tests, byte by byte as RFC 791, 8200, 9293 and 768 draw them.
struct Frame {
    var source = IPAddress("198.51.100.7") ?? .v4(IPv4Address(0))
    var destination = IPAddress("192.0.2.100") ?? .v4(IPv4Address(0))
    var sourcePort: UInt16 = 41000
    var destinationPort: UInt16 = 80
    var transport: UInt8 = 6
    var trafficClass: UInt8 = 0
    var payload: [UInt8] = Array("hello".utf8)
    var options: [UInt8] = []
    var etherType: UInt16?
    var ttl: UInt8 = 63
    /// Flags and offset of IPv4.
    var fragment: UInt16 = 0x4000
    /// VLAN tags, type and control word each.
    var tags: [UInt32] = []

    static func words(_ values: UInt16...) -> [UInt8] { values.flatMap { big($0) } }

    private static func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }

    var segment: [UInt8] {
        let ports = Self.words(sourcePort, destinationPort)
        switch transport {
        case 6:
            return ports + [0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xFF, 0xFF, 0, 0, 0, 0] + payload
        case 17: return ports + Self.words(UInt16(8 + payload.count), 0) + payload
        default: return payload
        }
    }

    var packet: [UInt8] {
        switch destination.family {
        case .v4:
            let length = UInt16(20 + options.count + segment.count)
            var header: [UInt8] = [UInt8(0x45 + options.count / 4), trafficClass]
            header += Self.words(length, 0x1234, fragment) + [ttl, transport, 0, 0]
            header += source.bytes + destination.bytes + options
            let sum = Self.words(internetChecksum(header))
            header.replaceSubrange(10..<12, with: sum)
            return header + segment
        case .v6:
            var header: [UInt8] = [0x60 | trafficClass >> 4, trafficClass << 4, 0, 0]
            header += Self.words(UInt16(segment.count)) + [transport, ttl]
            return header + source.bytes + destination.bytes + segment
        }
    }

    var bytes: [UInt8] {
        let type = etherType ?? (destination.family == .v4 ? 0x0800 : 0x86DD)
        let tags = tags.flatMap { Self.words(UInt16($0 >> 16), UInt16($0 & 0xFFFF)) }
        return [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2] + tags + Self.words(type) + packet
    }
}

/// RFC 1071: 0 over a header that holds its own right checksum.
func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
        sum += UInt32(bytes[index]) << 8 | UInt32(index + 1 < bytes.count ? bytes[index + 1] : 0)
    }
    while sum >> 16 != 0 { sum = sum & 0xFFFF + sum >> 16 }
    return ~UInt16(truncatingIfNeeded: sum)
}
