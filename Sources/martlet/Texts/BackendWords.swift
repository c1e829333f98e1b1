import Balancing
import Control

/// What a backend is taken for: one word, or two.
///
/// One that is healthy but can't be reached is not down: its probes may go another way.
func state(_ backend: Status.Backend) -> StyledText {
    if backend.isLeaving { return StyledText("leaving", .caution) }
    if backend.maintenance != nil { return StyledText("maintenance", .caution) }
    if backend.drain != nil { return StyledText("draining", .caution) }
    if backend.health.state != .down, backend.way.obstacle != nil {
        return StyledText("unreachable", .bad)
    }
    switch backend.health.state {
    case .down: return StyledText("down", .bad)
    case .up where backend.readiness > 0 && backend.readiness < 1:
        return StyledText("up, \(percentage(backend.readiness))", .good)
    case .up: return StyledText("up", .good)
    case .unknown: return "unknown"
    }
}

/// How many backends of all have new flows: `2 of 3`, followed by `words`.
func serving(_ service: Status.Service, _ words: String = "") -> StyledText {
    let serving = service.backends.count { $0.slots > 0 || $0.share > 0 }
    let style: Style =
        serving == service.backends.count ? .good : serving == 0 ? .bad : .caution
    return StyledText("\(serving) of \(service.backends.count)\(words)", style)
}

/// Why that is so.
func reason(_ backend: Status.Backend) -> String {
    [backend.way.obstacle, backend.health.reason].compactMap { $0 }.joined(separator: "; ")
}

func latency(_ backend: Status.Backend) -> String {
    backend.latency.map { "\(tenths(Double($0) / 1000)) ms" } ?? "-"
}

/// `10.0.0.1`, or with a port of its own `10.0.0.1:8080`, `[2001:db8::1]:8080` (RFC 3986 §3.2.2).
func place(_ address: String, _ port: UInt16?) -> String {
    guard let port else { return address }
    return address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
}
