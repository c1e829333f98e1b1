/// Why a text is no JSON, or none that this API takes.
struct JSONRefusal: Error, Hashable, Sendable {
    var found: String
    var accepted: String
    /// Of the first byte that is wrong, counted from 1.
    var line: Int
    var column: Int
}

extension JSON {
    /// Orders are flat; what is deeper than this was not written by anybody who means it.
    private static let deepest = 32

    /// Reads a text of RFC 8259, and nothing that only looks like one: a name that occurs twice in
    /// an object is refused, for readers differ on what it means (section 4), and so is what is no
    /// Unicode text (section 8.2).
    init(reading text: String) throws(JSONRefusal) {
        var reader = Reader(Array(text.utf8))
        reader.skipSpace()
        self = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.isAtEnd else { throw reader.refusal("the end of the body") }
    }

    private struct Reader {
        private let bytes: [UInt8]
        private var next = 0

        init(_ bytes: [UInt8]) { self.bytes = bytes }

        var isAtEnd: Bool { next == bytes.count }

        private var byte: UInt8? { next < bytes.count ? bytes[next] : nil }

        func refusal(_ accepted: String, found: String? = nil, at place: Int? = nil) -> JSONRefusal
        {
            let before = bytes.prefix(place ?? next)
            let line = before.count { $0 == UInt8(ascii: "\n") } + 1
            let start = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
            let rest = bytes[(place ?? next)...].prefix(16)
            return JSONRefusal(
                found: found
                    ?? (rest.isEmpty ? "the end" : quoted(String(decoding: rest, as: UTF8.self))),
                accepted: accepted, line: line, column: before.count - start + 1)
        }

        mutating func skipSpace() {
            while let byte, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { next += 1 }
        }

        private mutating func take(_ symbol: Unicode.Scalar) -> Bool {
            guard byte == UInt8(ascii: symbol) else { return false }
            next += 1
            return true
        }

        mutating func value(depth: Int) throws(JSONRefusal) -> JSON {
            guard depth < deepest else {
                throw refusal("at most \(deepest) levels", found: "a deeper one")
            }
            switch byte {
            case UInt8(ascii: "{"): return .object(try members(depth))
            case UInt8(ascii: "["): return .list(try elements(depth))
            case UInt8(ascii: "\""): return .text(try string())
            case UInt8(ascii: "t"): return try word("true", .boolean(true))
            case UInt8(ascii: "f"): return try word("false", .boolean(false))
            case UInt8(ascii: "n"): return try word("null", .null)
            default: return try number()
            }
        }

        private mutating func word(_ word: String, _ value: JSON) throws(JSONRefusal) -> JSON {
            guard bytes[next...].starts(with: word.utf8) else { throw refusal("a JSON value") }
            next += word.utf8.count
            return value
        }

        private mutating func members(_ depth: Int) throws(JSONRefusal) -> [String: JSON] {
            next += 1
            var members: [String: JSON] = [:]
            skipSpace()
            if take("}") { return members }
            while true {
                skipSpace()
                let place = next
                guard byte == UInt8(ascii: "\"") else { throw refusal("a member's name") }
                let name = try string()
                guard members[name] == nil else {
                    throw refusal(
                        "each member once", found: "\(quoted(name)) a second time", at: place)
                }
                skipSpace()
                guard take(":") else { throw refusal(#"":" and a value"#) }
                skipSpace()
                members[name] = try value(depth: depth + 1)
                skipSpace()
                if take("}") { return members }
                guard take(",") else { throw refusal(#""," or "}""#) }
            }
        }

        private mutating func elements(_ depth: Int) throws(JSONRefusal) -> [JSON] {
            next += 1
            var elements: [JSON] = []
            skipSpace()
            if take("]") { return elements }
            while true {
                skipSpace()
                elements.append(try value(depth: depth + 1))
                skipSpace()
                if take("]") { return elements }
                guard take(",") else { throw refusal(#""," or "]""#) }
            }
        }

        private mutating func string() throws(JSONRefusal) -> String {
            next += 1
            var text: [UInt8] = []
            while let byte {
                switch byte {
                case UInt8(ascii: "\""):
                    next += 1
                    return String(decoding: text, as: UTF8.self)
                case UInt8(ascii: "\\"): text += String(try escaped()).utf8
                case 0..<0x20: throw refusal("no control character within a string")
                default:
                    text.append(byte)
                    next += 1
                }
            }
            throw refusal("the quote that ends a string")
        }

        private mutating func escaped() throws(JSONRefusal) -> Unicode.Scalar {
            let start = next
            next += 1
            let plain: [UInt8: Unicode.Scalar] = [
                UInt8(ascii: "\""): "\"", UInt8(ascii: "\\"): "\\", UInt8(ascii: "/"): "/",
                UInt8(ascii: "b"): "\u{8}", UInt8(ascii: "f"): "\u{c}", UInt8(ascii: "n"): "\n",
                UInt8(ascii: "r"): "\r", UInt8(ascii: "t"): "\t",
            ]
            if let byte, let scalar = plain[byte] {
                next += 1
                return scalar
            }
            let first = try unit(start)
            if let scalar = Unicode.Scalar(first) { return scalar }
            // Half of a character beyond U+FFFF: the other half follows.
            guard first < 0xdc00, take("\\") else {
                throw refusal("a whole character", at: start)
            }
            let second = try unit(start)
            guard (0xdc00..<0xe000).contains(second),
                let scalar = Unicode.Scalar(0x10000 + ((first & 0x3ff) << 10 | second & 0x3ff))
            else { throw refusal("a whole character", at: start) }
            return scalar
        }

        /// `u` and four hexadecimal digits.
        private mutating func unit(_ start: Int) throws(JSONRefusal) -> UInt32 {
            let digits = bytes[next...].dropFirst().prefix(4)
            guard take("u"), digits.count == 4,
                digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
                let number = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
            else { throw refusal("an escape of JSON", at: start) }
            next += 4
            return number
        }

        private mutating func digits() -> Int {
            let start = next
            while let byte, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { next += 1 }
            return next - start
        }

        private mutating func number() throws(JSONRefusal) -> JSON {
            let start = next
            _ = take("-")
            let whole = next
            let count = digits()
            guard count > 0 else { throw refusal("a JSON value", at: start) }
            guard count == 1 || bytes[whole] != UInt8(ascii: "0") else {
                throw refusal("a number without leading zeros", at: start)
            }
            if take("."), digits() == 0 { throw refusal("digits after the point") }
            if take("e") || take("E") {
                _ = take("+") || take("-")
                guard digits() > 0 else { throw refusal("digits of an exponent") }
            }
            let text = String(decoding: bytes[start..<next], as: UTF8.self)
            if let integer = Int(text) { return .integer(integer) }
            guard let value = Double(text), value.isFinite else {
                throw refusal("a number that a double can hold", at: start)
            }
            return Int(exactly: value).map(JSON.integer) ?? .number(value)
        }
    }
}
