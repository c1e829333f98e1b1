// Run by the build: EmbedObjects OUTPUT.swift NAME=OBJECT.o …
//
// Writes compiled BPF objects into one Swift file, as base64 in `StaticString`s, because the
// compiler takes those in no time: an array literal of 64 KiB takes it eight seconds.
import Glibc

func fail(_ message: String) -> Never {
    perror("cannot embed BPF objects: \(message)")
    exit(1)
}

func contents(of path: String) -> [UInt8] {
    guard let file = fopen(path, "rb") else { fail(path) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 {
        bytes += chunk[..<count]
    }
    return bytes
}

func base64(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start..<min(start + 3, bytes.count)]
        let bits = group.reduce(0) { $0 << 8 | UInt32($1) } << (8 * UInt32(3 - group.count))
        for symbol in 0...group.count {
            text.append(alphabet[Int(bits >> (18 - 6 * UInt32(symbol)) & 63)])
        }
        text += Array(repeating: UInt8(ascii: "="), count: 3 - group.count)
    }
    return String(decoding: text, as: UTF8.self)
}

guard CommandLine.arguments.count >= 3 else { fail("no objects named") }
var source = "/// The compiled BPF objects, in base64. Made by the build.\nenum Images {\n"
for argument in CommandLine.arguments.dropFirst(2) {
    let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
    guard parts.count == 2 else { fail("\(argument) is not NAME=OBJECT") }
    source += "    static let \(parts[0]): StaticString = \"\(base64(contents(of: parts[1])))\"\n"
}
source += "}\n"
guard let file = fopen(CommandLine.arguments[1], "wb"), fputs(source, file) >= 0, fclose(file) == 0
else { fail(CommandLine.arguments[1]) }
