/// How improbable it is that a uniform 64-bit number is at most `value`: −log₂((value + 1) / 2⁶⁴),
/// in units of 2⁻³², at least 1.
///
/// In integers, because the logarithm of floating point differs between libraries in the last
/// bit, and then two nodes would disagree about a slot.
func improbability(of value: UInt64) -> UInt64 {
    // A leading one at bit 63 makes the whole part the number of leading zeros.
    let zeros = value.leadingZeroBitCount
    guard zeros < 64 else { return 64 << 32 }
    let mantissa = value << UInt64(zeros)
    let index = Int(mantissa >> 51 & 0xFFF)
    let rest = mantissa >> 19 & 0xFFFF_FFFF
    let low = logarithms[index]
    let high = logarithms[index + 1]
    let fraction = low + ((high - low) * rest) >> 32
    return max(1, (UInt64(zeros + 1) << 32) - fraction)
}

/// log₂(1 + i / 4096) for i from 0 to 4096, in units of 2⁻³².
private let logarithms: [UInt64] = (0...4096).map { binaryLogarithm(4096 + $0) - (12 << 32) }

/// log₂(number) in units of 2⁻³², bit by bit: squaring doubles a logarithm.
private func binaryLogarithm(_ number: UInt64) -> UInt64 {
    let whole = UInt64(63 - number.leadingZeroBitCount)
    var mantissa = number << (63 - whole)  // 1 ≤ mantissa / 2⁶³ < 2
    var result = whole
    for _ in 0..<32 {
        let square = mantissa.multipliedFullWidth(by: mantissa).high  // in units of 2⁶²
        let isTwoOrMore = square >> 63 == 1
        result = result << 1 | (isTwoOrMore ? 1 : 0)
        mantissa = isTwoOrMore ? square : square << 1
    }
    return result
}
