import Logs

/// Text in one line in which nothing is left that a terminal would obey: a server's answer to a
/// probe, or a reason that somebody gave, clears no screen.
func seen(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: mustNotBeSeen) else { return text }
    return text.prefix { $0 == " " } + onOneLine(text)
}

/// The same of several lines.
func seenLines(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { seen(String($0)) }
        .joined(separator: "\n")
}
