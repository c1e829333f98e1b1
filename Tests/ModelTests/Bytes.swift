// Packets for tests: by hand, or from parts that share no code with the model.

/// Bytes from hexadecimal digits; blanks, and what follows a `#` in a line, are for the reader.
func bytes(_ text: String) -> [UInt8] {
    let lines = text.split(separator: "\n").map { $0.prefix { $0 != "#" } }
    let digits = lines.joined().filter { !$0.isWhitespace }
    precondition(digits.count % 2 == 0, "half a byte in \(text)")
    return stride(from: 0, to: digits.count, by: 2).map { index in
        let start = digits.index(digits.startIndex, offsetBy: index)
        guard let byte = UInt8(digits[start...].prefix(2), radix: 16) else {
            preconditionFailure("no hexadecimal digits: \(text)")
        }
        return byte
    }
}

/// A number as two bytes in network order.
func word(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 255), UInt8(value & 255)] }

/// So many bytes that mean nothing.
func filler(_ count: Int) -> [UInt8] { [UInt8](repeating: 7, count: count) }

/// What the addresses of tests stand for: RFC 5737, RFC 3849.
enum Place {
    /// 192.0.2.100 and 2001:db8::64.
    static let vip = bytes("c000 0264")
    static let vip6 = bytes("2001 0db8 0000 0000 0000 0000 0000 0064")
    /// 198.51.100.7 and 2001:db8:1::7.
    static let client = bytes("c633 6407")
    static let client6 = bytes("2001 0db8 0001 0000 0000 0000 0000 0007")
    /// In no table: 192.0.2.101 and 2001:db8::65.
    static let stranger = bytes("c000 0265")
    static let stranger6 = bytes("2001 0db8 0000 0000 0000 0000 0000 0065")
}

/// The link header of what comes in: from 02:00:00:00:00:02 to 02:00:00:00:00:01.
func ethernet(
    _ type: Int, tags: [String] = [], to destination: String = "0200 0000 0001"
) -> [UInt8] {
    bytes(destination) + bytes("0200 0000 0002") + tags.flatMap { bytes($0) } + word(type)
}

/// An IPv4 packet: RFC 791 §3.1.
func ipv4(
    _ payload: [UInt8], next: UInt8 = 6, from source: [UInt8] = Place.client,
    to destination: [UInt8] = Place.vip, ttl: UInt8 = 63, fragment: Int = 0x4000,
    options: [UInt8] = [], length: Int? = nil
) -> [UInt8] {
    let length = length ?? 20 + options.count + payload.count
    let first = [UInt8(0x45 + options.count / 4), 0] + word(length) + word(0x1234) + word(fragment)
    return first + [ttl, next, 0, 0] + source + destination + options + payload
}

/// An IPv6 packet: RFC 8200 §3.
func ipv6(
    _ payload: [UInt8], next: UInt8 = 6, from source: [UInt8] = Place.client6,
    to destination: [UInt8] = Place.vip6, hops: UInt8 = 63, length: Int? = nil
) -> [UInt8] {
    bytes("6000 0000") + word(length ?? payload.count) + [next, hops] + source + destination
        + payload
}

/// A TCP segment from port 41000: RFC 9293 §3.1.
///
/// Flags: 2 is SYN, 16 is ACK.
func tcp(
    from source: Int = 41000, to port: Int = 80, offset: UInt8 = 5, flags: UInt8 = 16,
    _ payload: [UInt8] = []
) -> [UInt8] {
    word(source) + word(port) + bytes("0000 0001 0000 0000") + [offset << 4, flags]
        + bytes("ffff 0000 0000") + payload
}

/// A UDP datagram from port 41000: RFC 768.
func udp(to port: Int = 53, length: Int? = nil, _ payload: [UInt8] = [1, 2]) -> [UInt8] {
    word(41000) + word(port) + word(length ?? 8 + payload.count) + word(0) + payload
}

/// An ICMP message: RFC 792, RFC 4443 §2.1.
func icmp(_ type: UInt8, _ code: UInt8 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    [type, code] + bytes("0000 0000 0000") + payload
}
