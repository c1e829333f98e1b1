import Balancing
import Control

/// The text of `martlet status`.
func text(_ status: Status) -> String {
    var lines = status.interfaces.flatMap(words)
    if status.interfaces.isEmpty { lines.append("the program runs on no interface") }
    lines.append(rates(over: status.interval) ?? "rates are not known yet")
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
    if let refusal = service.refusal {
        lines.append("  NOT UP TO DATE, and tried again every second:")
        lines += refusal.split(separator: "\n").map { "    \($0)" }
    }
    return lines + conditions(service, at: status) + ways(service)
}

/// Of each backend what it is taken for, why, and what it gets because of that.
private func conditions(_ service: Status.Service, at status: Status) -> [String] {
    var table = Table([
        ("BACKEND", .left), ("WEIGHT", .right), ("STATE", .left), ("FOR", .right),
        ("SLOTS", .right), ("SHARE", .right), ("REASON", .left),
    ])
    for backend in service.backends {
        table.add([
            backend.name, "\(backend.weight)", state(backend),
            age(from: backend.health.since, to: status.taken), "\(backend.slots)",
            percentage(backend.share), reason(backend),
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

/// A backend that is healthy but can't be reached is not down: its probes may go another way.
private func state(_ backend: Status.Backend) -> String {
    backend.way.obstacle == nil || backend.health.state == .down
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
