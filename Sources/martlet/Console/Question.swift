import Glibc

/// Asks whoever sits at the terminal, also when the standard input is a file.
///
/// - Returns: Whether the answer was yes; nil: there is nobody to ask.
func ask(_ question: String) -> Bool? {
    let terminal = unsafe open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)
    guard terminal >= 0 else { return nil }
    defer { close(terminal) }
    guard write("\(question) [y/N] ", to: terminal) else { return nil }
    var answer: [UInt8] = []
    var byte: UInt8 = 0
    while unsafe read(terminal, &byte, 1) == 1, byte != UInt8(ascii: "\n") { answer.append(byte) }
    return ["y", "yes"].contains(String(decoding: answer, as: UTF8.self).lowercased())
}
