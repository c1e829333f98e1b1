/// A place in a text: line and column, both counted from 1.
///
/// Columns are Unicode scalars; lines end where YAML 1.1 ends them.
public struct Position: Hashable, Sendable {
    /// Counted from 1.
    public private(set) var line: Int
    /// Counted from 1.
    public private(set) var column: Int
    /// In which of the texts that are read together, counted from 0. What leaves this module says
    /// that with a name: ``ConfigurationError/file``.
    var source = 0

    /// The place in that line and column.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    /// The same place of another text.
    func inSource(_ source: Int) -> Position {
        var position = self
        position.source = source
        return position
    }

    /// Where every text begins.
    static let start = Position(line: 1, column: 1)

    /// Moves over `scalar`, which `next` follows.
    mutating func step(over scalar: Unicode.Scalar, before next: Unicode.Scalar?) {
        switch scalar {
        // Carriage return and line feed are one end of a line.
        case "\r" where next == "\n": break
        case "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}":
            line += 1
            column = 1
        default: column += 1
        }
    }
}

extension Position: Comparable {
    /// In the order of the texts, and of each text.
    public static func < (left: Self, right: Self) -> Bool {
        (left.source, left.line, left.column) < (right.source, right.line, right.column)
    }
}

extension Position: CustomStringConvertible {
    /// As in `3:9`.
    public var description: String { "\(line):\(column)" }
}
