import Glibc

/// Writes a line to standard output at once and in one piece, whoever else is writing.
func printLine(_ text: String) {
    let line = Array((text + "\n").utf8)
    _ = write(STDOUT_FILENO, line, line.count)
}
