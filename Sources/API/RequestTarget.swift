/// Path and query of a request, decoded: RFC 3986, 3.3 and 3.4.
struct RequestTarget: Hashable, Sendable {
    /// Before decoding, for the texts of refusals.
    var path: String
    /// Between the slashes, the empty one before the first included; nil: it is no text.
    var parts: [String]?
    /// In the order in which they were sent; nil: it is no text.
    var query: [Item]?

    struct Item: Hashable, Sendable {
        var name: String
        var value: String
    }

    /// - Parameter text: As the request line has it; the absolute form too (RFC 9112, 3.2.2).
    init(_ text: String) {
        var target = text[...]
        for scheme in ["http://", "https://"] where target.lowercased().hasPrefix(scheme) {
            target = target.dropFirst(scheme.count).drop { $0 != "/" && $0 != "?" }
        }
        let mark = target.firstIndex(of: "?") ?? target.endIndex
        path = String(target[..<mark])
        parts = all(target[..<mark].split(separator: "/", omittingEmptySubsequences: false)) {
            decoded($0, plusIsSpace: false)
        }
        query = all(target[mark...].dropFirst().split(separator: "&")) { item in
            let sign = item.firstIndex(of: "=") ?? item.endIndex
            guard let name = decoded(item[..<sign], plusIsSpace: true),
                let value = decoded(item[sign...].dropFirst(), plusIsSpace: true)
            else { return nil }
            return Item(name: name, value: value)
        }
    }
}

/// What `transform` makes of each; nil: of one it makes nothing.
private func all<Value>(
    _ parts: [Substring], _ transform: (Substring) -> Value?
) -> [Value]? {
    let values = parts.compactMap(transform)
    return values.count == parts.count ? values : nil
}

/// Without percent signs; nil: it is not UTF-8, or no such code.
private func decoded(_ text: Substring, plusIsSpace: Bool) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
        switch byte {
        case UInt8(ascii: "%"):
            let digits = rest.prefix(2)
            guard digits.count == 2,
                digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
                let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            else { return nil }
            bytes.append(code)
            rest = rest.dropFirst(2)
        case UInt8(ascii: "+") where plusIsSpace: bytes.append(UInt8(ascii: " "))
        default: bytes.append(byte)
        }
    }
    return String(validating: bytes, as: UTF8.self)
}

extension Schema {
    /// What a text of a path, a query or a header stands for.
    func value(of text: String) -> JSON {
        switch self {
        case .integer:
            guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
                return .text(text)
            }
            return Int(text).map(JSON.integer) ?? .text(text)
        case .boolean:
            return ["true": .boolean(true), "false": .boolean(false)][text] ?? .text(text)
        default: return .text(text)
        }
    }
}
