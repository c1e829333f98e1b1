import Control
import FoundationEssentials

/// What counts after a change, and whether that changed anything.
func text(_ generation: Generation, after before: Int) -> String {
    generation.number == before
        ? "nothing changed: generation \(before) counts"
        : seen("generation \(generation.number) counts: \(generation.summary)")
}

/// The text of `martlet history`.
func text(
    _ history: [Generation], at moment: Date = .now, in zone: TimeZone = .current,
    on paper: Paper = Paper()
) -> String {
    var table = Table([
        ("", .left), ("NUMBER", .right), ("WHEN", .left), ("AGO", .right), ("WHO", .left),
        ("WHAT", .left),
    ])
    let present = history.map(\.number).max()
    for generation in history {
        let isPresent = generation.number == present
        let style: Style = isPresent ? .good : .plain
        let summary = generation.summary.isEmpty ? "" : "; \(generation.summary)"
        table.add([
            StyledText(isPresent ? "*" : "", style), StyledText("\(generation.number)", style),
            StyledText(clock(generation.applied, in: zone)),
            StyledText(age(from: generation.applied, to: moment)), StyledText(generation.by),
            StyledText("\(generation.cause)\(summary)"),
        ])
    }
    return table.lines(on: paper).joined(separator: "\n")
}

/// As clocks here show it: `2030-01-31 12:00:00`.
func clock(_ moment: Date, in zone: TimeZone = .current) -> String {
    moment.formatted(
        Date.ISO8601FormatStyle(timeZone: zone).year().month().day()
            .dateTimeSeparator(.space).time(includingFractionalSeconds: false))
}
