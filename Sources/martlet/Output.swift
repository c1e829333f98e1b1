import Glibc

/// Writes a line to standard error.
func printError(_ line: String) { _ = write(seenLines(line) + "\n", to: STDERR_FILENO) }

/// Writes to standard output at once, past the buffer that would keep it from a pipe; says whether
/// all of it could be written.
func printWhole(_ text: String) -> Bool { write(text, to: STDOUT_FILENO) }

/// Says whether all of it could be written.
func write(_ text: String, to descriptor: Int32) -> Bool {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let count = unsafe Glibc.write(descriptor, Array(rest), rest.count)
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return false }
        rest = rest.dropFirst(count)
    }
    return true
}
