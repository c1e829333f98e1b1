import Packets

/// A 64-bit hash of `bytes` that is the same on every node, now and after an upgrade.
///
/// FNV-1a with the finaliser of SplitMix64. It places backends in slot tables; it needs no key,
/// because who chooses the addresses of the backends already decides where flows go.
func stableHash(_ bytes: [UInt8]) -> UInt64 {
    mix(bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 })
}

/// Spreads every bit of `value` over all bits of the result (the finaliser of SplitMix64).
func mix(_ value: UInt64) -> UInt64 {
    var mixed = value &+ 0x9E37_79B9_7F4A_7C15
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
}
