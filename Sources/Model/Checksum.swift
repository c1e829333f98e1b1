/// The Internet checksum, RFC 1071; 0 over bytes that hold their own right one.
package func checksum(_ bytes: some Collection<UInt8>) -> UInt16 {
    var sum: UInt32 = 0
    var isHigh = true
    for byte in bytes {
        sum += isHigh ? UInt32(byte) << 8 : UInt32(byte)
        isHigh.toggle()
    }
    while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
    return ~UInt16(truncatingIfNeeded: sum)
}

/// The checksum after one 16-bit word has changed: RFC 1624 §3, equation 3.
func updated(_ checksum: UInt16, from before: UInt16, to after: UInt16) -> UInt16 {
    var sum = UInt32(~checksum) + UInt32(~before) + UInt32(after)
    while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
    return ~UInt16(truncatingIfNeeded: sum)
}
