/// A text prepared for Yams: nothing in it is expanded, and every column stays where it was.
///
/// Yams takes an alias for a copy of what it names, which a file of a few lines can grow to
/// billions of nodes, and gives up at the first mapping with a key twice. So a stand-in takes the
/// place of each `*`, without which there are no aliases, and of the first letter of a key that
/// stands there twice.
struct Source {
    private var scalars: [Unicode.Scalar]
    private let end: Position
    /// The names of the keys that have a stand-in, by their place.
    private(set) var hiddenKeys: [Position: String] = [:]

    /// The characters that stand in, from a private plane; a text that uses them is refused.
    private static let standIns: ClosedRange<UInt32> = 0x10FF00...0x10FF20
    private static let asterisk = Unicode.Scalar(standIns.lowerBound) ?? "*"
    /// How many keys can be hidden: each costs another reading of the text.
    private static let hiddenKeyLimit = standIns.count - 1

    /// Refuses characters that YAML does (§5.1 of its specification, version 1.1).
    init(_ text: String) throws(NotYAML) {
        scalars = Array(text.unicodeScalars)
        // Editors of another system begin a file with a byte order mark.
        if scalars.first == "\u{FEFF}" { scalars.removeFirst() }
        var position = Position.start
        for index in scalars.indices {
            let scalar = scalars[index]
            guard isAllowed(scalar), !Self.standIns.contains(scalar.value) else {
                let error = ConfigurationError(
                    at: position, found: "the character U+\(hexadecimal(scalar.value))",
                    accepted: "text without control characters and private ones")
                throw NotYAML(errors: [error])
            }
            if scalar == "*" { scalars[index] = Self.asterisk }
            let next = index + 1 < scalars.endIndex ? scalars[index + 1] : nil
            position.step(over: scalar, before: next)
        }
        end = position
    }

    /// What Yams is to read.
    var text: String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    /// The character at `position`; nil where the text ends.
    subscript(position: Position) -> Unicode.Scalar? { index(of: position).map { scalars[$0] } }

    /// `position`, or where the text ends if that comes first: libyaml sees a line break there.
    func inside(_ position: Position) -> Position { min(position, end) }

    /// Makes the key at `position`, whose name is `name`, different from every other.
    ///
    /// Returns false where that can't be done without changing what the text is: the key is no
    /// plain word, or too many are hidden.
    mutating func hide(_ name: String, at position: Position) -> Bool {
        guard hiddenKeys.count < Self.hiddenKeyLimit, hiddenKeys[position] == nil,
            var index = index(of: position)
        else { return false }
        if scalars[index] == "\"" || scalars[index] == "'" { index += 1 }
        guard index < scalars.endIndex, isWord(scalars[index]),
            let standIn = Unicode.Scalar(
                Self.standIns.lowerBound + 1 + UInt32(hiddenKeys.count))
        else { return false }
        scalars[index] = standIn
        hiddenKeys[position] = original(name)
        return true
    }

    /// What the file has for `text`, which may hold stand-ins for asterisks.
    func original(_ text: String) -> String {
        guard text.unicodeScalars.contains(Self.asterisk) else { return text }
        var view = String.UnicodeScalarView()
        view.append(contentsOf: text.unicodeScalars.map { $0 == Self.asterisk ? "*" : $0 })
        return String(view)
    }

    /// Whether a plain text is an alias in the file.
    func isAlias(_ text: String) -> Bool { text.unicodeScalars.first == Self.asterisk }

    private func index(of place: Position) -> Int? {
        var position = Position.start
        for index in scalars.indices {
            if position == place { return index }
            let next = index + 1 < scalars.endIndex ? scalars[index + 1] : nil
            position.step(over: scalars[index], before: next)
        }
        return nil
    }
}

/// What libyaml reads (`yaml_parser_update_buffer`), less the byte order mark.
private func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x09, 0x0A, 0x0D, 0x20...0x7E, 0x85, 0xA0...0xD7FF, 0xE000...0xFEFE, 0xFF00...0xFFFD,
        0x10000...0x10FFFF:
        true
    default: false
    }
}

/// Whether a stand-in can take its place without changing what is a key and what is not.
private func isWord(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
}

private func hexadecimal(_ number: UInt32) -> String {
    let digits = String(number, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
}
