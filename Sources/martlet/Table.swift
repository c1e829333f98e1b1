/// Text in columns as wide as their widest cell; pure, so that a test can compare it.
struct Table {
    enum Alignment {
        case left
        case right
    }

    private let alignments: [Alignment]
    private var rows: [[String]]

    /// What a terminal and a mail show without breaking lines of their own.
    static let widest = 100
    /// A last column that would be narrower than this begins on a line of its own.
    private static let narrowest = 20

    /// - Parameter columns: The headings; numbers stand at the right.
    init(_ columns: [(heading: String, alignment: Alignment)]) {
        alignments = columns.map(\.alignment)
        rows = [columns.map(\.heading)]
    }

    mutating func add(_ cells: [String]) {
        precondition(cells.count == alignments.count, "a cell for each column")
        rows.append(cells)
    }

    /// The lines, each behind `indentation`, without blanks at their ends.
    ///
    /// No line is wider than ``widest``, unless by a single word: the last column goes on below
    /// itself, or below the row, and names too long to stand beside numbers stand above them.
    func lines(indentation: String = "") -> [String] {
        var widths = alignments.indices.dropLast().map { column in
            rows.map { $0[column].count }.max() ?? 0
        }
        func width() -> Int { indentation.count + widths.reduce(0) { $0 + $1 + 2 } }
        let isStacked = width() - 2 > Self.widest
        if isStacked { widths[0] = 0 }
        let longest = rows.flatMap { $0[widths.count].split(separator: " ") }.map(\.count).max()
        let isRoomy = width() + max(Self.narrowest, longest ?? 0) <= Self.widest
        let margin = isRoomy ? width() : indentation.count + 4
        let blanks = String(repeating: " ", count: margin)
        return rows.flatMap { row in
            var row = row
            let above = isStacked ? [indentation + row[0]] : []
            if isStacked { row[0] = "" }
            var front = indentation + cells(row, widths).map { $0 + "  " }.joined()
            var pieces = wrapped(row[widths.count], to: Self.widest - margin)
            if isRoomy || pieces.count == 1 && front.count + pieces[0].count <= Self.widest {
                front += pieces.removeFirst()
            }
            return above + [withoutBlanksAtEnd(front)] + pieces.map { blanks + $0 }
        }
    }

    /// All cells of `row` but the last, each as wide as its column.
    private func cells(_ row: [String], _ widths: [Int]) -> [String] {
        widths.indices.map { column in
            let blanks = String(repeating: " ", count: widths[column] - row[column].count)
            return alignments[column] == .left ? row[column] + blanks : blanks + row[column]
        }
    }
}

/// `text` in lines of at most `width` characters, broken between words; one line at least.
private func wrapped(_ text: String, to width: Int) -> [String] {
    guard text.count > width else { return [text] }
    var lines: [String] = []
    for word in text.split(separator: " ") {
        if let last = lines.last, last.count + 1 + word.count <= width {
            lines[lines.count - 1] = "\(last) \(word)"
        } else {
            lines.append(String(word))
        }
    }
    return lines
}

private func withoutBlanksAtEnd(_ line: String) -> String {
    String(line.reversed().drop { $0 == " " }.reversed())
}
