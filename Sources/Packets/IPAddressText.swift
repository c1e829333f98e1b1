extension IPAddress: LosslessStringConvertible {
    /// Reads `192.0.2.1` or `2001:db8::1`; nil for anything else.
    ///
    /// IPv4 takes four decimal numbers without leading zeros (which other readers take for
    /// octal). IPv6 is the text of RFC 4291 §2.2, an embedded IPv4 address included; a zone
    /// (`%eth0`) is refused, for an address of a service or a backend is never link-local.
    public init?(_ text: String) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard let groups = ipv6Groups(text) else { return nil }
            self = .v6(IPv6Address(groups.reduce(0) { $0 << 16 | UInt128($1) }))
        } else {
            guard let number = ipv4Number(text) else { return nil }
            self = .v4(IPv4Address(number))
        }
    }

    /// The address as people write it; IPv6 as RFC 5952 asks.
    public var description: String {
        switch self {
        case .v4(let address): address.bytes.map(String.init).joined(separator: ".")
        case .v6(let address): ipv6Text(address.number)
        }
    }
}

private func ipv4Number(_ text: some StringProtocol) -> UInt32? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var number: UInt32 = 0
    for part in parts {
        guard part.utf8.allSatisfy({ (48...57).contains($0) }), part.utf8.count <= 3,
            part == "0" || !part.hasPrefix("0"), let byte = UInt8(part)
        else { return nil }
        number = number << 8 | UInt32(byte)
    }
    return number
}

private func ipv6Groups(_ text: String) -> [UInt16]? {
    let halves = splitOnce(text, at: "::")
    guard let before = groups(halves.before, mayEndInIPv4: halves.after == nil) else { return nil }
    guard let rest = halves.after else { return before.count == 8 ? before : nil }
    // A second "::" leaves an empty group behind, which `groups` refuses.
    guard let after = groups(rest, mayEndInIPv4: true), before.count + after.count <= 7
    else { return nil }
    return before + [UInt16](repeating: 0, count: 8 - before.count - after.count) + after
}

private func splitOnce(_ text: String, at mark: String) -> (before: Substring, after: Substring?) {
    var start = text.startIndex
    while start < text.endIndex {
        if text[start...].hasPrefix(mark) {
            return (text[..<start], text[text.index(start, offsetBy: mark.count)...])
        }
        start = text.index(after: start)
    }
    return (text[...], nil)
}

private func groups(_ text: Substring, mayEndInIPv4: Bool) -> [UInt16]? {
    guard !text.isEmpty else { return [] }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    var result: [UInt16] = []
    for (index, part) in parts.enumerated() {
        if mayEndInIPv4, index == parts.count - 1, part.contains(".") {
            guard let number = ipv4Number(part) else { return nil }
            result += [UInt16(number >> 16), UInt16(truncatingIfNeeded: number)]
        } else {
            guard (1...4).contains(part.utf8.count),
                part.utf8.allSatisfy({ isHexadecimal($0) }), let group = UInt16(part, radix: 16)
            else { return nil }
            result.append(group)
        }
    }
    return result.count <= 8 ? result : nil
}

private func isHexadecimal(_ symbol: UInt8) -> Bool {
    switch symbol {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
        UInt8(ascii: "A")...UInt8(ascii: "F"):
        true
    default: false
    }
}

/// RFC 5952 §4: lower case, no leading zeros, the first longest run of zeros as `::`.
private func ipv6Text(_ number: UInt128) -> String {
    let groups = stride(from: 112, through: 0, by: -16).map {
        UInt16(truncatingIfNeeded: number >> UInt128($0))
    }
    let text = { (part: ArraySlice<UInt16>) in
        part.map { String($0, radix: 16) }.joined(separator: ":")
    }
    guard let zeros = longestRunOfZeros(groups) else { return text(groups[...]) }
    return text(groups[..<zeros.lowerBound]) + "::" + text(groups[zeros.upperBound...])
}

/// The first of the longest runs of two zeros or more.
private func longestRunOfZeros(_ groups: [UInt16]) -> Range<Int>? {
    var best: Range<Int>?
    var start = 0
    for index in 0...groups.count where index == groups.count || groups[index] != 0 {
        if index - start >= 2, index - start > (best?.count ?? 0) { best = start..<index }
        start = index + 1
    }
    return best
}
