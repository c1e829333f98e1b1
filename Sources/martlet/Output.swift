import Glibc

/// Writes a line to standard error.
func printError(_ line: String) { write(line + "\n", to: STDERR_FILENO) }

/// Writes to standard output at once, past the buffer that would keep it from a pipe.
func printWhole(_ text: String) { write(text, to: STDOUT_FILENO) }

private func write(_ text: String, to descriptor: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let count = unsafe Glibc.write(descriptor, Array(rest), rest.count)
        guard count > 0 else { return }
        rest = rest.dropFirst(count)
    }
}
