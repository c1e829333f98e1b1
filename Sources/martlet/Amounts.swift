import FoundationEssentials

/// A rate as people read it: `0`, `12.3`, `4.56 k`, `1.2 M`; `-` where it is not known.
func rate(_ perSecond: Double?) -> String {
    guard let perSecond else { return "-" }
    let steps: [(Double, String)] = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")]
    let (unit, name) = steps.first { perSecond >= $0.0 } ?? (1, "")
    return digits(perSecond / unit) + name
}

/// `1 service`, `2 services`
func count(_ number: Int, _ thing: String) -> String {
    number == 1 ? "1 \(thing)" : "\(number) \(thing)s"
}

/// A part of a whole: `33.3 %`.
func percentage(_ share: Double) -> String { "\(tenths(share * 100)) %" }

/// How long ago, in the largest unit that fits: `12 s`, `3 min`, `5 h`, `2 d`.
func age(from moment: Date, to now: Date) -> String { age(of: now.timeIntervalSince(moment)) }

/// The same of seconds.
func age(of seconds: Double) -> String {
    let seconds = max(0, Int(seconds))
    switch seconds {
    case ..<120: return "\(seconds) s"
    case ..<7200: return "\(seconds / 60) min"
    case ..<172_800: return "\(seconds / 3600) h"
    default: return "\(seconds / 86400) d"
    }
}

/// Three significant digits at most, none after the point from 100 on.
private func digits(_ number: Double) -> String {
    if number == 0 { return "0" }
    if number >= 99.95 { return "\(Int(number.rounded()))" }
    return tenths(number)
}

/// With one digit after the point: `2.0`.
func tenths(_ number: Double) -> String {
    let tenths = Int((number * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
}
