extension Kind where Result == Duration {
    /// What an operator may expect of a probe: below, it measures the machine; above, nothing.
    static var duration: Kind { duration(from: .milliseconds(10), to: .seconds(3600)) }

    /// A whole number with its unit: `500ms`, `1s`, `2m`, `1h`.
    ///
    /// - Parameter example: A value of the range, for the error message.
    static func duration(
        from least: Duration, to most: Duration, like example: Duration = .milliseconds(500)
    ) -> Kind {
        let range = milliseconds(least)...milliseconds(most)
        let names = units.map(\.name)
        let accepted =
            "a duration from \(spelled(least)) to \(spelled(most)) with its unit "
            + "(\(names.dropLast().joined(separator: ", ")) or \(names.last ?? "")), "
            + "like \(spelled(example))"
        return Kind(accepted: accepted) { text, _ in
            let digits = text.prefix { ("0"..."9").contains($0) }
            // Nine digits of hours are no overflow, and far beyond the range.
            if let number = Int(digits), digits.utf8.count <= 9,
                digits == "0" || digits.first != "0",
                let unit = units.first(where: { $0.name == text.dropFirst(digits.utf8.count) })
            {
                let length = number * unit.milliseconds
                return range.contains(length) ? .value(.milliseconds(length)) : .refused()
            }
            return .refused(suggestion: nearestSpelling(of: text, in: range))
        }
    }
}

private let units = [
    (name: "ms", milliseconds: 1), (name: "s", milliseconds: 1000),
    (name: "m", milliseconds: 60_000), (name: "h", milliseconds: 3_600_000),
]

/// How other programs spell units.
private let otherUnits: [String: Int] = [
    "msec": 1, "millis": 1, "milliseconds": 1, "sec": 1000, "secs": 1000, "second": 1000,
    "seconds": 1000, "min": 60_000, "mins": 60_000, "minute": 60_000, "minutes": 60_000,
    "hr": 3_600_000, "hour": 3_600_000, "hours": 3_600_000, "d": 86_400_000, "day": 86_400_000,
]

/// `2s` for `2`, `1500ms` for `1.5 s`, `1h` for `1 hour`; nil if it is beyond guessing.
private func nearestSpelling(of text: String, in range: ClosedRange<Int>) -> String? {
    let letters = text.lowercased().filter { $0 != " " }
    let digits = letters.prefix { ("0"..."9").contains($0) || $0 == "." }
    let name = String(letters.dropFirst(digits.count))
    // The standard library reads more than decimals ("infinity", "0x1p3"); `digits` can't be those.
    guard digits.utf8.count <= 9, let number = Double(digits) else { return nil }
    let unit =
        units.first { $0.name == name }?.milliseconds ?? otherUnits[name]
        // Without a unit people mean seconds, unless it is too many of them for a probe.
        ?? (name.isEmpty ? (number <= 60 || range.lowerBound >= 1000 ? 1000 : 1) : nil)
    guard let unit else { return nil }
    let length = Int((number * Double(unit)).rounded())
    guard range.contains(length) else { return nil }
    return spelled(milliseconds: length)
}

/// A duration as the file has it, in the largest unit that it is a multiple of: `500ms`, `2h`.
///
/// What is shorter than a millisecond is left out: the file can't say it.
public func spelled(_ duration: Duration) -> String {
    spelled(milliseconds: milliseconds(duration))
}

private func spelled(milliseconds: Int) -> String {
    let unit = units.last { milliseconds % $0.milliseconds == 0 } ?? units[0]
    return "\(milliseconds / unit.milliseconds)\(unit.name)"
}

private func milliseconds(_ duration: Duration) -> Int {
    let (seconds, attoseconds) = duration.components
    return Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000)
}
