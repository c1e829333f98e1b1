import Balancing
import Control
import FoundationEssentials

/// The text of `martlet status`.
func text(_ status: Status, on paper: Paper = Paper()) -> String {
    var lines = configuration(status) + status.interfaces.flatMap(words)
    if status.interfaces.isEmpty { lines.append("the program runs on no interface") }
    lines.append(rates(over: status.interval) ?? "rates are not known yet")
    lines += flowTable(status.flowTable)
    var all = lines.map(styled)
    for service in status.services { all += [""] + section(service, at: status, paper) }
    return all.map { $0.rendered(isColoured: paper.isColoured) }.joined(separator: "\n")
}

private func styled(_ line: String) -> StyledText {
    StyledText(line, isAlarm(line) ? .bad : .plain)
}

/// Whether a line is there to wake somebody: these have capitals.
private func isAlarm(_ line: String) -> Bool {
    [
        "A CHANGE WAS REFUSED", ": NOT ATTACHED: ", "FLOW TABLE NEARLY FULL", "  NOBODY SERVES ",
        "  PANIC: ", "  BACKUP: ", "  NOT UP TO DATE",
    ].contains { line.contains($0) }
}

/// Which configuration counts, and whether somebody wanted another one in vain.
private func configuration(_ status: Status) -> [String] {
    let present = status.configuration
    guard present.generation > 0 else { return [] }
    var line = "generation \(present.generation)"
    if let applied = present.applied {
        line += ", applied \(age(from: applied, to: status.taken)) ago"
    }
    if let by = present.by { line += " by \(by)" }
    if let cause = present.cause { line += ": \(cause)" }
    guard let refusal = present.refusal else { return [line] }
    let when = present.refused.map { " \(age(from: $0, to: status.taken)) ago" } ?? ""
    return [line, "A CHANGE WAS REFUSED\(when), and nothing changed:"]
        + refusal.split(separator: "\n").map { "  \($0)" }
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

private func section(
    _ service: Status.Service, at status: Status, _ paper: Paper
) -> [StyledText] {
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
    return lines.map(styled) + conditions(service, at: status, paper)
        + orders(service, at: status).map(styled) + ways(service, paper)
}

/// What people have ordered of its backends.
private func orders(_ service: Status.Service, at status: Status) -> [String] {
    service.backends.flatMap { backend in
        var lines: [String] = []
        if let drain = backend.drain {
            lines.append("  \(backend.name) drains: \(drainText(drain, at: status.taken))")
        }
        if let maintenance = backend.maintenance {
            lines.append(
                "  \(backend.name) is maintained: "
                    + maintenanceText(maintenance, at: status.taken))
        }
        if let weight = backend.weightOfFile {
            lines.append(
                "  \(backend.name) has weight \(backend.weight), where the file says \(weight)")
        }
        return lines
    }
}

/// Why, for how long and for whom.
func maintenanceText(_ maintenance: Status.Maintenance, at moment: Date) -> String {
    let reason = maintenance.reason ?? "no reason given"
    return "\(reason); since \(age(from: maintenance.since, to: moment)), by \(maintenance.by)"
}

/// How far a drain has come.
func drainText(_ drain: Status.Drain, at moment: Date) -> String {
    if let cut = drain.cut { return "over: at the deadline \(count(cut, "flow")) cut" }
    if drain.isOver { return "over: no flow is left" }
    var text = "counting flows"
    if let left = drain.flowsLeft {
        text =
            left == 0
            ? "no flow has been seen since, silent ones may be left" : "\(count(left, "flow")) left"
        if left > 0, let seconds = drain.secondsLeft {
            text += ", ending in about \(age(of: seconds))"
        }
    }
    if let deadline = drain.deadline {
        text += "; cut in \(age(from: moment, to: deadline))"
    }
    return text
}

/// Of each backend what it is taken for, why, and what it gets because of that.
private func conditions(
    _ service: Status.Service, at status: Status, _ paper: Paper
) -> [StyledText] {
    var table = Table([
        ("BACKEND", .left), ("WEIGHT", .right), ("STATE", .left), ("FOR", .right),
        ("SLOTS", .right), ("SHARE", .right), ("FLOWS", .right), ("LATENCY", .right),
        ("REASON", .left),
    ])
    for backend in service.backends {
        let cells = [
            age(from: backend.health.since, to: status.taken), "\(backend.slots)",
            percentage(backend.share), backend.flows.map { "\($0)" } ?? "-",
            latency(backend), reason(backend),
        ]
        table.add(
            [StyledText(backend.name), StyledText("\(backend.weight)"), state(backend)]
                + cells.map { StyledText($0) })
    }
    return table.styledLines(indentation: "  ", on: paper)
}

/// Of each backend what was sent to it, and how that gets there.
private func ways(_ service: Status.Service, _ paper: Paper) -> [StyledText] {
    var table = Table([
        ("BACKEND", .left), ("PACKETS", .right), ("BYTES", .right), ("PKT/S", .right),
        ("BIT/S", .right), ("ADDRESS AND NEXT HOP", .left),
    ])
    for backend in service.backends {
        table.add(
            [backend.name] + cells(backend.traffic)
                + ["\(place(backend.address, backend.port)) \(way(backend))"])
    }
    return table.styledLines(indentation: "  ", on: paper)
}

private func way(_ backend: Status.Backend) -> String {
    guard let interface = backend.way.interface, let neighbour = backend.way.neighbour else {
        return "unreachable"
    }
    return "by \(neighbour) on \(interface)"
}

/// The text of `martlet counters`.
///
/// - Parameters:
///   - isWhole: With the verdicts that no packet had, too.
///   - isOnlyReading: Whether nobody reads the tables a second time, so that there never are rates.
func text(
    _ report: CountersReport, isWhole: Bool = false, isOnlyReading: Bool = false,
    on paper: Paper = Paper()
) -> String {
    let columns: [(String, Table.Alignment)] = [
        ("PACKETS", .right), ("BYTES", .right), ("PKT/S", .right), ("BIT/S", .right), ("", .left),
    ]
    var table = Table(columns)
    let shown = report.verdicts.filter { isWhole || $0.traffic.packets > 0 }
    for verdict in shown {
        let isDrop = verdict.name.hasPrefix("DROP_") && verdict.traffic.packets > 0
        table.add(
            cells(verdict.traffic).map { StyledText($0) }
                + [StyledText("\(verdict.name): \(verdict.text)", isDrop ? .bad : .plain)])
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
    return (table.lines(on: paper) + remarks).joined(separator: "\n")
}

func cells(_ traffic: Traffic) -> [String] {
    [
        "\(traffic.packets)", "\(traffic.bytes)", rate(traffic.packetsPerSecond),
        rate(traffic.bitsPerSecond),
    ]
}
