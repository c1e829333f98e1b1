import Balancing
import Control

/// The text of `martlet services`.
func servicesText(_ status: Status, on paper: Paper = Paper()) -> String {
    var table = Table([
        ("SERVICE", .left), ("AT", .left), ("SCHEDULER", .left), ("MODE", .left),
        ("SERVING", .right), ("PKT/S", .right), ("BIT/S", .right), ("REMARKS", .left),
    ])
    for service in status.services {
        let traffic = service.traffic
        table.add([
            StyledText(service.name), StyledText(service.key),
            StyledText(service.scheduler.rawValue), StyledText(service.forwarding.rawValue),
            serving(service),
            StyledText(rate(traffic.packetsPerSecond)), StyledText(rate(traffic.bitsPerSecond)),
            remarks(service),
        ])
    }
    guard !status.services.isEmpty else { return "there are no services" }
    return table.lines(on: paper).joined(separator: "\n")
}

/// In a few words what `martlet status` says more of; capitals are for what wakes people.
func remarks(_ service: Status.Service) -> StyledText {
    var alarms: [String] = []
    if service.slotsWithoutOwner == service.slots, service.slots > 0 {
        alarms.append("NOBODY SERVES")
    } else if service.slotsWithoutOwner > 0 {
        alarms.append("NOBODY SERVES \(service.slotsWithoutOwner) slots")
    }
    if service.isPanicking { alarms.append("PANIC") }
    if service.usesBackup { alarms.append("BACKUP") }
    if service.refusal != nil { alarms.append("NOT UP TO DATE") }
    let unsettled = service.moving + service.pinning + service.pinned
    let change = unsettled > 0 ? "\(unsettled) slots change hands" : ""
    if alarms.isEmpty { return StyledText(change) }
    return StyledText(alarms.joined(separator: ", "), .bad)
        + (change.isEmpty ? "" : ", \(change)")
}

/// The text of `martlet backends`.
func backendsText(
    _ status: Status, of services: [Status.Service], on paper: Paper = Paper()
) -> String {
    var table = Table([
        ("BACKEND", .left), ("ADDRESS", .left), ("WEIGHT", .right), ("STATE", .left),
        ("FOR", .right), ("SHARE", .right), ("FLOWS", .right), ("PKT/S", .right),
        ("LATENCY", .right), ("REASON", .left),
    ])
    for service in services {
        for backend in service.backends {
            let front = [
                StyledText("\(service.name)/\(backend.name)"),
                StyledText(place(backend.address, backend.port)),
                StyledText("\(backend.weight)"), state(backend),
            ]
            let rest = [
                age(from: backend.health.since, to: status.taken), percentage(backend.share),
                backend.flows.map { "\($0)" } ?? "-", rate(backend.traffic.packetsPerSecond),
                latency(backend), explanation(backend, at: status),
            ]
            table.add(front + rest.map { StyledText($0) })
        }
    }
    guard services.contains(where: { !$0.backends.isEmpty }) else {
        return "there are no backends"
    }
    return table.lines(on: paper).joined(separator: "\n")
}

/// What is most worth knowing of the state that it is in.
private func explanation(_ backend: Status.Backend, at status: Status) -> String {
    if let maintenance = backend.maintenance {
        return maintenanceText(maintenance, at: status.taken)
    }
    if let drain = backend.drain { return drainText(drain, at: status.taken) }
    return reason(backend)
}

/// A backend with the name of its service, for programs.
struct BackendOfService: Encodable {
    let service: String
    let backend: Status.Backend

    private enum Key: CodingKey { case service }

    func encode(to encoder: any Encoder) throws {
        try backend.encode(to: encoder)
        var fields = encoder.container(keyedBy: Key.self)
        try fields.encode(service, forKey: .service)
    }
}
