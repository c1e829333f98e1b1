/// A page made of one of our documents: of Markdown, what we use.
struct MarkdownPage {
    let name: String
    let abstract: String
    let date: String
    let version: String

    func page(_ document: String) -> String {
        var page = Roff(name, section: 5, date: date, version: version)
        page.section("Name")
        page.paragraph(.plain("\(name) - \(abstract)"))
        page.section("Description")
        var lines = document.split(separator: "\n", omittingEmptySubsequences: false)[...]
        var block: [Substring] = []
        while let line = lines.popFirst() {
            if line.hasPrefix("```") {
                flush(&block, into: &page)
                var literal: [String] = []
                while let inner = lines.popFirst(), !inner.hasPrefix("```") {
                    literal.append(String(inner))
                }
                page.literal(literal)
            } else if line.hasPrefix("#") {
                flush(&block, into: &page)
                heading(line, in: &page)
            } else if line.allSatisfy(\.isWhitespace) {
                flush(&block, into: &page)
            } else if line.hasPrefix("|") {
                if block.first?.hasPrefix("|") == false { flush(&block, into: &page) }
                block.append(line)
            } else {
                if line.hasPrefix("- ") { flush(&block, into: &page) }
                block.append(line)
            }
        }
        flush(&block, into: &page)
        page.section("See also")
        page.paragraph(.bold("martlet") + .plain("(1), ") + .bold("martlet-check") + .plain("(1)"))
        return page.text
    }

    private func heading(_ line: Substring, in page: inout Roff) {
        let level = line.prefix { $0 == "#" }.count
        let title = String(line.dropFirst(level).drop { $0 == " " })
        // The title of the document is that of the page.
        if level == 2 { page.section(title) } else if level > 2 { page.subsection(title) }
    }

    private func flush(_ block: inout [Substring], into page: inout Roff) {
        defer { block = [] }
        guard let first = block.first else { return }
        if first.hasPrefix("|") {
            table(block, in: &page)
            return
        }
        let text = block.map { $0.drop { $0 == " " } }.joined(separator: " ")
        if text.hasPrefix("- ") {
            page.bullet(inline(String(text.dropFirst(2))))
        } else {
            page.paragraph(inline(text))
        }
    }

    /// A row is an item: columns are too narrow in a terminal.
    private func table(_ lines: [Substring], in page: inout Roff) {
        let rows = lines.map(cells)
        guard let head = rows.first else { return }
        for row in rows.dropFirst(2) where !row.isEmpty {
            let others = zip(head, row).dropFirst().filter { !$0.1.isEmpty }.map { head, cell in
                (head.isEmpty ? Words.plain("") : inline(head) + .plain(": ")) + inline(cell)
            }
            page.item(inline(row[0]), Array(others))
        }
    }

    private func cells(_ line: Substring) -> [String] {
        var cells = line.split(separator: "|", omittingEmptySubsequences: false).map { cell in
            String(cell.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
        // Before the first bar and behind the last.
        if cells.first?.isEmpty == true { cells.removeFirst() }
        if cells.last?.isEmpty == true { cells.removeLast() }
        return cells
    }
}

/// `code` and **strong** in bold, *this* in italics, of [links](…) the text.
func inline(_ text: String) -> Words {
    var words = Words.plain("")
    var rest = text[...]
    var plain = ""
    func take(_ mark: String) -> String? {
        guard rest.hasPrefix(mark) else { return nil }
        let inside = rest.dropFirst(mark.count)
        guard let end = inside.firstRange(of: mark), end.lowerBound > inside.startIndex else {
            return nil
        }
        rest = inside[end.upperBound...]
        return String(inside[..<end.lowerBound])
    }
    func settle() {
        words = words + .plain(plain)
        plain = ""
    }
    while let first = rest.first {
        if let code = take("`") {
            settle()
            words = words + .bold(code)
        } else if let strong = take("**") {
            settle()
            words = words + .bold(strong)
        } else if let stressed = take("*") {
            settle()
            words = words + .italic(stressed)
        } else if first == "[", let link = rest.prefixMatch(of: /\[([^\]]+)\]\([^)]*\)/) {
            settle()
            words = words + inline(String(link.1))
            rest = rest[link.range.upperBound...]
        } else {
            plain.append(first)
            rest = rest.dropFirst()
        }
    }
    settle()
    return words
}
