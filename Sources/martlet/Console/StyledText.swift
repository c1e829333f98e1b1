/// How a piece of text looks where there are colours.
enum Style: Sendable {
    case plain
    /// As it should be; as it should not; what somebody has ordered, or should look at.
    case good, bad, caution
    case heading, faint

    /// The parameters of SGR (ECMA-48, 8.3.117); nil: none.
    fileprivate var parameters: String? {
        switch self {
        case .plain: nil
        case .good: "32"
        case .bad: "31"
        case .caution: "33"
        case .heading: "1"
        case .faint: "2"
        }
    }
}

/// Text in pieces that look different; its width is that of its characters alone.
struct StyledText: Hashable, Sendable, ExpressibleByStringLiteral {
    private struct Piece: Hashable, Sendable {
        var text: String
        var style: Style
    }

    private var pieces: [Piece]

    /// What a terminal would obey in the texts of others is written ``seen(_:)``.
    init(_ text: String, _ style: Style = .plain) {
        pieces = text.isEmpty ? [] : [Piece(text: seen(text), style: style)]
    }

    init(stringLiteral text: String) { self.init(text) }

    /// In columns of a terminal: names and numbers have one for each character.
    var count: Int { pieces.reduce(0) { $0 + $1.text.count } }

    /// Without its looks.
    var string: String { pieces.map(\.text).joined() }

    /// How its beginning looks.
    var style: Style { pieces.first?.style ?? .plain }

    static func + (left: Self, right: Self) -> Self {
        var both = left
        both.pieces += right.pieces
        return both
    }

    static func + (left: String, right: Self) -> Self { Self(left) + right }

    static func + (left: Self, right: String) -> Self { left + Self(right) }

    static func += (left: inout Self, right: Self) { left = left + right }

    /// Its first `width` columns.
    func cut(to width: Int) -> Self {
        var (cut, left) = (self, max(0, width))
        for index in cut.pieces.indices {
            cut.pieces[index].text = String(cut.pieces[index].text.prefix(left))
            left -= cut.pieces[index].text.count
        }
        cut.pieces.removeAll { $0.text.isEmpty }
        return cut
    }

    /// With blanks up to `width`, behind it or before it.
    func padded(to width: Int, _ alignment: Table.Alignment = .left) -> Self {
        let blanks = Self(String(repeating: " ", count: max(0, width - count)))
        return alignment == .left ? self + blanks : blanks + self
    }

    /// Without blanks at its end.
    var withoutBlanksAtEnd: Self {
        var trimmed = self
        while let last = trimmed.pieces.last, last.text.hasSuffix(" ") {
            trimmed.pieces[trimmed.pieces.count - 1].text.removeLast()
            if last.text.count == 1 { trimmed.pieces.removeLast() }
        }
        return trimmed
    }

    func rendered(isColoured: Bool) -> String {
        pieces.map { piece in
            guard isColoured, let parameters = piece.style.parameters else { return piece.text }
            return "\u{1B}[\(parameters)m\(piece.text)\u{1B}[0m"
        }.joined()
    }
}
