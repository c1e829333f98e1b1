/// A message or an attribute that does not hold what it says it holds.
package struct Malformed: Error, Hashable, Sendable {
    /// What is wrong, as it reads after "because": `a message says it has 12 bytes`.
    package let reason: String
}

/// The bytes of an integer or a C struct as they lie in memory.
func rawBytes(_ value: some BitwiseCopyable) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }

/// The integer or C struct at the start of `bytes`; nil if they end before it does.
func read<Value: BitwiseCopyable>(_ type: Value.Type, from bytes: ArraySlice<UInt8>) -> Value? {
    guard bytes.count >= MemoryLayout<Value>.size else { return nil }
    return bytes.withUnsafeBytes { $0.loadUnaligned(as: type) }
}

/// `count` rounded up to a multiple of four: `NLMSG_ALIGN`, `NLA_ALIGN`.
func aligned(_ count: Int) -> Int { (count + 3) & ~3 }
