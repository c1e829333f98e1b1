import FoundationEssentials

/// The moment that a `date-time` of RFC 3339, section 5.6, names; nil: it is none, or one that
/// never was, like the 30th of February.
func moment(_ text: String) -> Date? {
    let pattern = /(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|([+-])(\d\d):(\d\d))/
        .asciiOnlyDigits()
    guard let match = text.wholeMatch(of: pattern)?.output,
        let year = Int(match.1), let month = Int(match.2), let day = Int(match.3),
        let hour = Int(match.4), let minute = Int(match.5), let second = Int(match.6),
        (1...12).contains(month), (1...days(of: month, in: year)).contains(day),
        hour < 24, minute < 60, second <= 60
    else { return nil }
    let fraction = match.7.flatMap { Double("0" + $0) } ?? 0
    var offset = 0
    if let sign = match.9, let hours = match.10.flatMap({ Int($0) }),
        let minutes = match.11.flatMap({ Int($0) })
    {
        guard hours < 24, minutes < 60 else { return nil }
        offset = (sign == "-" ? -1 : 1) * (hours * 60 + minutes) * 60
    }
    // A leap second, which Unix time has not, is the first second after it.
    let seconds = ((daysSince1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
    return Date(timeIntervalSince1970: Double(seconds - offset) + fraction)
}

private func days(of month: Int, in year: Int) -> Int {
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    return [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
}

/// In the Gregorian calendar, before it began too.
private func daysSince1970(_ year: Int, _ month: Int, _ day: Int) -> Int {
    // Years that begin with March have their leap day at the end.
    let year = month <= 2 ? year - 1 : year
    let era = (year >= 0 ? year : year - 399) / 400
    let yearOfEra = year - era * 400
    let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
}
