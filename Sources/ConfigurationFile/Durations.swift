extension Kind where Result == Duration {
    /// A whole number with its unit: `500ms`, `1s`, `2m`.
    static var duration: Kind {
        let accepted = "a duration from 10ms to 60m with its unit (ms, s or m), like 500ms"
        return Kind(accepted: accepted) { text, _ in
            let digits = text.prefix { ("0"..."9").contains($0) }
            // Nine digits of minutes are no overflow, and far beyond the range.
            if let number = Int(digits), digits.utf8.count <= 9,
                digits == "0" || digits.first != "0",
                let unit = units.first(where: { $0.name == text.dropFirst(digits.utf8.count) })
            {
                let milliseconds = number * unit.milliseconds
                return range.contains(milliseconds)
                    ? .value(.milliseconds(milliseconds)) : .refused()
            }
            return .refused(suggestion: nearestSpelling(of: text))
        }
    }
}

/// What an operator may expect of a probe: below, it measures the machine; above, nothing.
private let range = 10...3_600_000

private let units = [
    (name: "ms", milliseconds: 1), (name: "s", milliseconds: 1000),
    (name: "m", milliseconds: 60_000),
]

/// How other programs spell units.
private let otherUnits: [String: Int] = [
    "msec": 1, "millis": 1, "milliseconds": 1, "sec": 1000, "secs": 1000, "second": 1000,
    "seconds": 1000, "min": 60_000, "mins": 60_000, "minute": 60_000, "minutes": 60_000,
    "h": 3_600_000, "hour": 3_600_000,
]

/// `2s` for `2`, `1500ms` for `1.5 s`, `60m` for `1h`; nil if it is beyond guessing.
private func nearestSpelling(of text: String) -> String? {
    let letters = text.lowercased().filter { $0 != " " }
    let digits = letters.prefix { ("0"..."9").contains($0) || $0 == "." }
    let name = String(letters.dropFirst(digits.count))
    // The standard library reads more than decimals ("infinity", "0x1p3"); `digits` can't be those.
    guard digits.utf8.count <= 9, let number = Double(digits) else { return nil }
    let unit =
        units.first { $0.name == name }?.milliseconds ?? otherUnits[name]
        // Without a unit people mean seconds, unless it is too many of them.
        ?? (name.isEmpty ? (number <= 60 ? 1000 : 1) : nil)
    guard let unit else { return nil }
    let milliseconds = Int((number * Double(unit)).rounded())
    guard range.contains(milliseconds) else { return nil }
    return spelled(milliseconds: milliseconds)
}

/// A duration as the file has it, in the largest unit that it is a multiple of.
func spelled(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    return spelled(milliseconds: Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000))
}

private func spelled(milliseconds: Int) -> String {
    let unit = units.last { milliseconds % $0.milliseconds == 0 } ?? units[0]
    return "\(milliseconds / unit.milliseconds)\(unit.name)"
}
