import Control
import FoundationEssentials

/// An event as a line of `martlet events`.
func text(
    _ event: Event, in zone: TimeZone = .current, on paper: Paper = Paper()
) -> String {
    let subject: String? =
        switch (event.service, event.backend) {
        case (let service?, let backend?): "\(service)/\(backend)"
        case (let service?, nil): service
        case (nil, let backend): backend
        }
    let isNamed = subject.map { event.text.hasPrefix($0) } ?? true
    let line =
        StyledText("\(clock(event.at, in: zone))  ", .faint)
        + StyledText(event.kind.rawValue, style(of: event.kind)).padded(to: 12) + "  "
        + (isNamed ? "" : "\(subject ?? ""): ") + event.text
    return line.rendered(isColoured: paper.isColoured)
}

private func style(of kind: Event.Kind) -> Style {
    switch kind {
    case .refusal, .panic, .pressure: .bad
    case .health, .reachability, .backup, .attachment: .caution
    case .drain, .maintenance, .generation: .heading
    }
}
