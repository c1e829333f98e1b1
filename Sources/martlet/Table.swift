/// Text in columns as wide as their widest cell; pure, so that a test can compare it.
struct Table {
    enum Alignment {
        case left
        case right
    }

    private let alignments: [Alignment]
    private var rows: [[StyledText]]

    /// A last column that would be narrower than this begins on a line of its own.
    private static let narrowest = 20

    /// - Parameter columns: The headings; numbers stand at the right.
    init(_ columns: [(heading: String, alignment: Alignment)]) {
        alignments = columns.map(\.alignment)
        rows = [columns.map { StyledText($0.heading, .heading) }]
    }

    mutating func add(_ cells: [String]) { add(cells.map { StyledText($0) }) }

    mutating func add(_ cells: [StyledText]) {
        precondition(cells.count == alignments.count, "a cell for each column")
        rows.append(cells)
    }

    /// The lines, each behind `indentation`, without blanks at their ends.
    ///
    /// No line is wider than the paper, unless by a single word: the last column goes on below
    /// itself, or below the row, and names too long to stand beside numbers stand above them.
    func lines(indentation: String = "", on paper: Paper = Paper()) -> [String] {
        styledLines(indentation: indentation, on: paper)
            .map { $0.rendered(isColoured: paper.isColoured) }
    }

    /// The same, not yet rendered.
    func styledLines(indentation: String = "", on paper: Paper) -> [StyledText] {
        var rows = rows
        if alignments.last == .right, let widest = rows.compactMap(\.last?.count).max() {
            for index in rows.indices {
                rows[index].append(rows[index].removeLast().padded(to: widest, .right))
            }
        }
        var widths = alignments.indices.dropLast().map { column in
            rows.map { $0[column].count }.max() ?? 0
        }
        func width() -> Int { indentation.count + widths.reduce(0) { $0 + $1 + 2 } }
        let isStacked = width() - 2 > paper.width
        if isStacked { widths[0] = 0 }
        let words = rows.flatMap { $0[widths.count].string.split(separator: " ") }
        let longest = words.map(\.count).max() ?? 0
        let isRoomy = width() + max(Self.narrowest, longest) <= paper.width
        let margin = isRoomy ? width() : indentation.count + 4
        let blanks = String(repeating: " ", count: margin)
        let lines = rows.flatMap { row in
            var row = row
            let above = isStacked ? [StyledText(indentation) + row[0]] : []
            if isStacked { row[0] = "" }
            var front = zip(row.indices, widths).reduce(StyledText(indentation)) { line, column in
                line + row[column.0].padded(to: column.1, alignments[column.0]) + "  "
            }
            var pieces = wrapped(row[widths.count], to: paper.width - margin)
            if isRoomy || pieces.count == 1 && front.count + pieces[0].count <= paper.width {
                front += pieces.removeFirst()
            }
            return above + [front] + pieces.map { StyledText(blanks) + $0 }
        }
        return lines.map(\.withoutBlanksAtEnd)
    }
}

/// `text` in lines of at most `width` characters, broken between words; one line at least.
private func wrapped(_ text: StyledText, to width: Int) -> [StyledText] {
    guard text.count > width else { return [text] }
    var lines: [String] = []
    for word in text.string.split(separator: " ") {
        if let last = lines.last, last.count + 1 + word.count <= width {
            lines[lines.count - 1] = "\(last) \(word)"
        } else {
            lines.append(String(word))
        }
    }
    return lines.map { StyledText($0, text.style) }
}
