/// A page in the making: groff_man(7).
struct Roff {
    private(set) var text = ""

    /// - Parameters:
    ///   - section: Of the manual: `1` commands, `5` files.
    ///   - date: `2030-01-31`
    init(_ name: String, section: Int, date: String, version: String) {
        text += ".\\\" Generated; the source has it in the commands and in docs.\n"
        line(
            ".TH \(quoted(name.uppercased())) \(section) \(date) "
                + "\(quoted("martlet \(version)")) \(quoted("Martlet"))")
        // Not hyphenated: what is broken can't be copied; and not stretched.
        line(".nh")
        line(".ad l")
    }

    mutating func section(_ title: String) { line(".SH \(quoted(title.uppercased()))") }

    mutating func subsection(_ title: String) { line(".SS \(quoted(title))") }

    mutating func paragraph(_ words: Words) {
        line(".PP")
        body(words)
    }

    /// A term, and what is to be said of it.
    mutating func item(_ term: Words, _ bodies: [Words]) {
        line(".TP")
        body(term)
        for (index, words) in bodies.enumerated() {
            if index > 0 { line(".br") }
            body(words)
        }
    }

    mutating func bullet(_ words: Words) {
        line(".IP \\(bu 2")
        body(words)
    }

    /// As it stands, line by line.
    mutating func literal(_ lines: [String]) {
        line(".PP")
        line(".RS 4")
        line(".nf")
        for text in lines { line(guarded(escaped(text))) }
        line(".fi")
        line(".RE")
    }

    private mutating func body(_ words: Words) {
        line(words.roff.isEmpty ? "\\&" : guarded(words.roff))
    }

    private mutating func line(_ text: String) { self.text += text + "\n" }

    private func quoted(_ text: String) -> String {
        "\"" + escaped(text).replacing("\"", with: "\\(dq") + "\""
    }
}

/// Text with some of it in bold.
struct Words {
    private(set) var roff = ""

    static func plain(_ text: String) -> Words { Words(roff: escaped(text)) }

    static func bold(_ text: String) -> Words { Words(roff: "\\fB\(escaped(text))\\fR") }

    static func italic(_ text: String) -> Words { Words(roff: "\\fI\(escaped(text))\\fR") }

    static func + (left: Words, right: Words) -> Words { Words(roff: left.roff + right.roff) }
}

/// Backslashes begin requests; a plain `-` may become a hyphen that no shell takes.
func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
        switch character {
        case "\\": result += "\\e"
        case "-": result += "\\-"
        case "`": result += "\\(ga"
        case "'": result += "\\(aq"
        case "^": result += "\\(ha"
        case "~": result += "\\(ti"
        case "…": result += "..."
        default: result.append(character)
        }
    }
    return result
}

/// A line that begins with a dot or a quote would be a request.
private func guarded(_ line: String) -> String {
    line.hasPrefix(".") || line.hasPrefix("'") ? "\\&" + line : line
}
