import Glibc

/// A terminal that is drawn on as a whole, and given back as it was.
///
/// The only one of a process: whoever dies by a fault of its own can't say which it had.
final class Screen: Sendable {
    /// As the shell wants it back: tcgetattr(3).
    private let earlier: termios

    /// Nil: the standard input or output is no terminal.
    init?() {
        var settings = termios()
        guard isatty(STDOUT_FILENO) == 1, unsafe tcgetattr(STDIN_FILENO, &settings) == 0 else {
            return nil
        }
        earlier = settings
        unsafe given = settings
        // A fault (a trap of Swift's, too) ends the process: after the terminal is given back.
        for fault in [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV] {
            signal(fault) { number in
                giveBack()
                signal(number, SIG_DFL)
                raise(number)
            }
        }
    }

    /// Takes it: keys come one by one and are not shown, Ctrl-C and Ctrl-Z stay signals.
    func enter() {
        var settings = earlier
        settings.c_lflag &= ~tcflag_t(ICANON | ECHO)
        _ = unsafe tcsetattr(STDIN_FILENO, TCSANOW, &settings)
        // xterm's: another screen, to leave alone what was there; DEC's: no cursor.
        _ = printWhole("\u{1B}[?1049h\u{1B}[?25l")
    }

    func leave() { giveBack() }

    /// Draws over what is there, so that nothing flickers.
    func draw(_ lines: [String]) {
        // ECMA-48: to the corner (CUP); what is behind a line is erased (EL), then the rest (ED).
        _ = printWhole("\u{1B}[H" + lines.joined(separator: "\u{1B}[K\r\n") + "\u{1B}[K\u{1B}[J")
    }
}

/// As the terminal was found; read by a handler of signals, which can't be given anything.
nonisolated(unsafe) private var given = termios()

/// Takes nothing but calls that signal-safety(7) allows.
private func giveBack() {
    let bytes: StaticString = "\u{1B}[?25h\u{1B}[?1049l"
    _ = unsafe write(STDOUT_FILENO, bytes.utf8Start, bytes.utf8CodeUnitCount)
    _ = unsafe tcsetattr(STDIN_FILENO, TCSANOW, &given)
}
