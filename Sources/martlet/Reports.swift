import Balancing
import Control
import FoundationEssentials

/// The text of `martlet status`.
func text(_ status: Status) -> String {
    var lines = status.interfaces.flatMap(words)
    if status.interfaces.isEmpty { lines.append("the program runs on no interface") }
    lines.append(rates(over: status.interval) ?? "rates are not known yet")
    lines += flowTable(status.flowTable)
    for service in status.services { lines += [""] + section(service, at: status) }
    return lines.joined(separator: "\n")
}

private func words(_ interface: Status.Interface) -> [String] {
    guard let program = interface.program else {
        let reason = (interface.obstacle ?? "not known why").split(separator: "\n")
        return ["\(interface.name): NOT ATTACHED: \(reason[0])"]
            + reason.dropFirst().map(String.init)
    }
    return ["\(interface.name): program \(program), \(interface.mode ?? "mode not known")"]
}

private func rates(over interval: Double?) -> String? {
    interval.map { "rates are those of the last \(tenths($0)) s" }
}

/// Silent while there is nothing to say: it is empty as long as nothing changes.
private func flowTable(_ table: Status.FlowTable) -> [String] {
    var lines: [String] = []
    if table.entries > 0 {
        lines.append("flow table: \(table.entries) of \(table.capacity) entries")
    }
    if table.isFrozen {
        lines.append("FLOW TABLE NEARLY FULL: new flows go where they need no entry")
    }
    if table.events.refused > 0 {
        lines.append("flow table: no room for \(table.events.refused) packets' flows until now")
    }
    return lines
}

private func section(_ service: Status.Service, at status: Status) -> [String] {
    let traffic = service.traffic
    var lines = [
        "\(service.name)  \(service.key)  \(service.scheduler.rawValue)  "
            + "\(service.forwarding.rawValue)",
        "  arrived: \(traffic.packets) packets, \(traffic.bytes) bytes; "
            + "\(rate(traffic.packetsPerSecond)) packet/s, \(rate(traffic.bitsPerSecond)) bit/s",
    ]
    if service.slotsWithoutOwner > 0 {
        lines.append(
            "  NOBODY SERVES \(service.slotsWithoutOwner) of \(service.slots) slots: "
                + "packets for them are dropped")
    }
    if service.isPanicking {
        lines.append("  PANIC: too few backends are up, so that their health is ignored")
    }
    if service.usesBackup {
        lines.append("  BACKUP: new flows go to the backup, for no other backend can serve")
    }
    let unsettled = service.moving + service.pinning + service.pinned
    if unsettled > 0 {
        lines.append(
            "  \(unsettled) of \(service.slots) slots change hands: \(service.moving) moving, "
                + "\(service.pinning) pinning, \(service.pinned) pinned")
    }
    if let refusal = service.refusal {
        lines.append("  NOT UP TO DATE, and tried again every second:")
        lines += refusal.split(separator: "\n").map { "    \($0)" }
    }
    return lines + conditions(service, at: status) + drains(service, at: status)
        + ways(service)
}

private func drains(_ service: Status.Service, at status: Status) -> [String] {
    service.backends.compactMap { backend in
        backend.drain.map { "  \(backend.name) drains: \(drainText($0, at: status.taken))" }
    }
}

/// How far a drain has come.
func drainText(_ drain: Status.Drain, at moment: Date) -> String {
    if let cut = drain.cut { return "over: at the deadline \(flowCount(cut)) cut" }
    if drain.isOver { return "over: no flow is left" }
    var text = "counting flows"
    if let left = drain.flowsLeft {
        text =
            left == 0
            ? "no flow has been seen since, silent ones may be left" : "\(flowCount(left)) left"
        if left > 0, let seconds = drain.secondsLeft {
            text += ", ending in about \(age(of: seconds))"
        }
    }
    if let deadline = drain.deadline {
        text += "; cut in \(age(from: moment, to: deadline))"
    }
    return text
}

private func flowCount(_ count: Int) -> String { count == 1 ? "1 flow" : "\(count) flows" }

/// Of each backend what it is taken for, why, and what it gets because of that.
private func conditions(_ service: Status.Service, at status: Status) -> [String] {
    var table = Table([
        ("BACKEND", .left), ("WEIGHT", .right), ("STATE", .left), ("FOR", .right),
        ("SLOTS", .right), ("SHARE", .right), ("FLOWS", .right), ("LATENCY", .right),
        ("REASON", .left),
    ])
    for backend in service.backends {
        table.add([
            backend.name, "\(backend.weight)", state(backend),
            age(from: backend.health.since, to: status.taken), "\(backend.slots)",
            percentage(backend.share), backend.flows.map { "\($0)" } ?? "-",
            latency(backend), reason(backend),
        ])
    }
    return table.lines(indentation: "  ")
}

/// Of each backend what was sent to it, and how that gets there.
private func ways(_ service: Status.Service) -> [String] {
    var table = Table([
        ("BACKEND", .left), ("PACKETS", .right), ("BYTES", .right), ("PKT/S", .right),
        ("BIT/S", .right), ("ADDRESS AND NEXT HOP", .left),
    ])
    for backend in service.backends {
        table.add(
            [backend.name] + cells(backend.traffic)
                + ["\(place(backend.address, backend.port)) \(way(backend))"])
    }
    return table.lines(indentation: "  ")
}

private func latency(_ backend: Status.Backend) -> String {
    backend.latency.map { "\(tenths(Double($0) / 1000)) ms" } ?? "-"
}

/// A backend that is healthy but can't be reached is not down: its probes may go another way.
private func state(_ backend: Status.Backend) -> String {
    if backend.isLeaving { return "leaving" }
    if backend.drain != nil { return "draining" }
    if backend.readiness > 0, backend.readiness < 1 {
        return "up, \(percentage(backend.readiness))"
    }
    return backend.way.obstacle == nil || backend.health.state == .down
        ? backend.health.state.rawValue : "unreachable"
}

private func reason(_ backend: Status.Backend) -> String {
    [backend.way.obstacle, backend.health.reason].compactMap { $0 }.joined(separator: "; ")
}

private func way(_ backend: Status.Backend) -> String {
    guard let interface = backend.way.interface, let neighbour = backend.way.neighbour else {
        return "unreachable"
    }
    return "by \(neighbour) on \(interface)"
}

/// `10.0.0.1`, or with a port of its own `10.0.0.1:8080`, `[2001:db8::1]:8080` (RFC 3986 §3.2.2).
private func place(_ address: String, _ port: UInt16?) -> String {
    guard let port else { return address }
    return address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
}

/// The text of `martlet counters`.
///
/// - Parameters:
///   - isWhole: With the verdicts that no packet had, too.
///   - isOnlyReading: Whether nobody reads the tables a second time, so that there never are rates.
func text(
    _ report: CountersReport, isWhole: Bool = false, isOnlyReading: Bool = false
) -> String {
    let columns: [(String, Table.Alignment)] = [
        ("PACKETS", .right), ("BYTES", .right), ("PKT/S", .right), ("BIT/S", .right), ("", .left),
    ]
    var table = Table(columns)
    let shown = report.verdicts.filter { isWhole || $0.traffic.packets > 0 }
    for verdict in shown {
        table.add(cells(verdict.traffic) + ["\(verdict.name): \(verdict.text)"])
    }
    table.add(cells(report.received) + ["received in all"])
    for service in report.services {
        table.add(["", "", "", "", ""])
        let name = service.name.map { "\($0)  " } ?? ""
        table.add(cells(service.traffic) + ["\(name)\(service.key): arrived"])
        for backend in service.backends {
            let name = backend.name.map { "\($0)  " } ?? ""
            table.add(
                cells(backend.traffic) + ["  to \(name)\(place(backend.address, backend.port))"])
        }
    }
    var remarks = [""]
    let hidden = report.verdicts.count - shown.count
    if hidden > 0 {
        remarks.append("no packet had \(count(hidden, "other verdict")); --all shows them")
    }
    remarks.append(
        rates(over: report.interval)
            ?? (isOnlyReading
                ? "no rates: the tables were read once; --watch has them"
                : "rates are not known yet"))
    return (table.lines() + remarks).joined(separator: "\n")
}

private func cells(_ traffic: Traffic) -> [String] {
    [
        "\(traffic.packets)", "\(traffic.bytes)", rate(traffic.packetsPerSecond),
        rate(traffic.bitsPerSecond),
    ]
}
