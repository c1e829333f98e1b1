import ConfigurationFile
import Testing

/// Numbers that are the same in every run (SplitMix64).
private struct Sequence: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// What stands in files of YAML more often than in random bytes.
private let pieces = [
    ":", "- ", "\n", "\n    ", "{", "}", "[", "]", ",", "\"", "'", "#", "*a", "&a ", "<<: ", "? ",
    "|\n", ">", "!!str ", "!", "%", "---\n", "...\n", "\t", "\r", "~", "0", "\u{85}", "\u{2028}",
    "\u{FEFF}", "é", "name: x\n", "port: 80, ", "10.0.0.1", "\\", "\u{0}", "\u{10FF01}",
]

struct MutationTests {
    @Test(arguments: 0..<8)
    func `a damaged file is accepted or refused, with errors inside the file`(seed: UInt64) {
        var random = Sequence(state: seed)
        var accepted = 0
        for _ in 0..<500 {
            var bytes = Array(example.utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) { damage(&bytes, &random) }
            // Half of the time the file ends somewhere in the middle.
            if Bool.random(using: &random) {
                bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random)))
            }
            let text = String(decoding: bytes, as: UTF8.self)
            do {
                _ = try parse(text, file: "m.yaml")
                accepted += 1
            } catch {
                #expect(!error.errors.isEmpty)
                #expect(
                    error.errors.allSatisfy { isInside($0.position, text) }, "\(error)\n\(text)")
            }
        }
        // Neither all nor none: else the damage is none, or only damage is tested.
        #expect((1..<500).contains(accepted))
    }

    private func damage(_ bytes: inout [UInt8], _ random: inout Sequence) {
        let index = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<7, using: &random)
        case 2: bytes.removeSubrange(index..<min(bytes.count - 1, index + 3))
        case 3:
            bytes.insert(contentsOf: (pieces.randomElement(using: &random) ?? "").utf8, at: index)
        default:
            let end = Int.random(in: index..<bytes.count, using: &random)
            bytes.insert(contentsOf: bytes[index..<min(end, index + 80)], at: index)
        }
    }

    /// Whether `position` is a character of `text`, or just after the end of one of its lines.
    private func isInside(_ position: Position?, _ text: String) -> Bool {
        guard let position else { return false }
        var lines = [0]
        var previous: Unicode.Scalar?
        for scalar in text.unicodeScalars {
            if previous == "\r", scalar == "\n" {
                previous = scalar
                continue
            }
            previous = scalar
            if ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"].contains(scalar) {
                lines.append(0)
            } else {
                lines[lines.count - 1] += 1
            }
        }
        guard lines.indices.contains(position.line - 1) else { return false }
        return (1...lines[position.line - 1] + 1).contains(position.column)
    }
}
