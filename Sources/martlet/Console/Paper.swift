public import ArgumentParser
import FoundationEssentials
import Glibc

/// Whether a command writes in colours.
public enum ColorChoice: String, CaseIterable, Sendable, ExpressibleByArgument {
    case auto, always, never
}

/// What a text is written on.
struct Paper: Hashable, Sendable {
    /// In columns; where it is no terminal, what a mail shows without breaking lines of its own.
    var width = 100
    var isColoured = false
    /// Whether it shows more than ASCII.
    var hasUnicode = true

    /// In changes: `2 → 3`.
    var arrow: String { hasUnicode ? "→" : "->" }
    var dots: String { hasUnicode ? "…" : "..." }
}

extension Paper {
    /// The standard output: `TIOCGWINSZ` of ioctl_tty(2), and the environment.
    static func standardOutput(_ color: ColorChoice = .auto) -> Paper {
        let isTerminal = isatty(STDOUT_FILENO) == 1
        let environment = ProcessInfo.processInfo.environment
        var paper = Paper()
        if isTerminal, let size = TerminalSize.ofStandardOutput() { paper.width = size.columns }
        paper.hasUnicode = hasUnicode(environment)
        paper.isColoured = isColoured(color, isTerminal: isTerminal, environment)
        return paper
    }

    /// What nobody has chosen says a terminal that can, unless `NO_COLOR` is there and not empty.
    static func isColoured(
        _ choice: ColorChoice, isTerminal: Bool, _ environment: [String: String]
    ) -> Bool {
        switch choice {
        case .always: true
        case .never: false
        case .auto:
            isTerminal && environment["NO_COLOR", default: ""].isEmpty
                && environment["TERM"] != "dumb"
        }
    }

    /// The first of these that is set counts: locale(7).
    static func hasUnicode(_ environment: [String: String]) -> Bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap { environment[$0] }
            .first { !$0.isEmpty }
        let charset = (locale ?? "").uppercased().filter { $0 != "-" }
        return charset.contains("UTF8")
    }
}

/// How many characters a terminal shows.
struct TerminalSize: Hashable, Sendable {
    var columns: Int
    var rows: Int

    /// Nil: it is no terminal, or one that does not know, like a serial line.
    static func ofStandardOutput() -> TerminalSize? {
        var size = winsize()
        let result = unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size)
        guard result == 0, size.ws_col > 0, size.ws_row > 0 else { return nil }
        return TerminalSize(columns: Int(size.ws_col), rows: Int(size.ws_row))
    }
}
