/// A few letters that stand for many bytes: FNV-1a of 64 bits. Nobody gains by finding two texts
/// with the same.
struct Fingerprint: Hashable, Sendable, Codable, CustomStringConvertible {
    let description: String

    init(of bytes: some Sequence<UInt8>) {
        let hash = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { hash, byte in
            (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        let digits = String(hash, radix: 16)
        description = String(repeating: "0", count: 16 - digits.count) + digits
    }
}
