/// The bytes that `text`, base64 without line breaks (RFC 4648 §4), stands for.
func decodeBase64(_ text: StaticString) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8CodeUnitCount / 4 * 3)
    var bits: UInt32 = 0
    var count = 0
    for symbol in text.description.utf8 {
        let value: UInt8
        switch symbol {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = symbol - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): value = symbol - 71
        case UInt8(ascii: "0")...UInt8(ascii: "9"): value = symbol + 4
        case UInt8(ascii: "+"): value = 62
        case UInt8(ascii: "/"): value = 63
        default: return bytes  // Padding ends the text.
        }
        bits = bits << 6 | UInt32(value)
        count += 6
        if count >= 8 {
            count -= 8
            bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
        }
    }
    return bytes
}
