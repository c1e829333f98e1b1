// Texts of others, such as a server's answer to a probe, come into messages: none may end the line,
// or say things to a terminal.

/// Breaks between lines become `; `, other ``unseenScalars`` are written as JSON does.
public func onOneLine(_ text: String) -> String {
    let lines = text.unicodeScalars.split { $0 == "\n" || $0 == "\r" }
    return lines.map { line in
        var words = ""
        for scalar in line.drop(while: { $0 == " " }) { append(scalar, to: &words) }
        return words
    }.filter { !$0.isEmpty }.joined(separator: "; ")
}

/// A string of JSON: RFC 8259 §7.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        default: append(scalar, to: &result)
        }
    }
    return result + "\""
}

private func append(_ scalar: Unicode.Scalar, to text: inout String) {
    guard mustNotBeSeen(scalar) else {
        text.unicodeScalars.append(scalar)
        return
    }
    // All of them are in the first plane.
    let digits = String(scalar.value, radix: 16)
    text += "\\u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
}

/// Scalars that no line for people may have: controls of ASCII and Latin-1, which terminals obey;
/// line and paragraph separators; and what changes the direction of text, so that a line seems to
/// say something else.
public let unseenScalars: [ClosedRange<UInt32>] = [
    0...0x1f, 0x7f...0x9f, 0x61c...0x61c, 0x200e...0x200f, 0x2028...0x202e, 0x2066...0x2069,
    0xfeff...0xfeff,
]

/// Whether it is one of ``unseenScalars``.
public func mustNotBeSeen(_ scalar: Unicode.Scalar) -> Bool {
    // Nearly all are letters of ASCII.
    if (0x20..<0x7f).contains(scalar.value) { return false }
    return unseenScalars.contains { $0.contains(scalar.value) }
}
