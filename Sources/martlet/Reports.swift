import Balancing
import Control

/// The text of `martlet status`.
func text(_ status: Status) -> String {
    var lines = status.interfaces.map { interface in
        "\(interface.name): program \(interface.program), \(interface.mode ?? "mode not known")"
    }
    if status.interfaces.isEmpty { lines.append("the program runs on no interface") }
    for service in status.services { lines += [""] + section(service, at: status) }
    return lines.joined(separator: "\n")
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
    var table = Table([
        ("BACKEND", .left), ("ADDRESS", .left), ("WEIGHT", .right), ("STATE", .left),
        ("FOR", .right), ("SHARE", .right), ("PACKETS", .right), ("BYTES", .right),
        ("PKT/S", .right), ("BIT/S", .right), ("REASON", .left),
    ])
    for backend in service.backends {
        table.add([
            backend.name, backend.address, "\(backend.weight)", state(backend),
            age(from: backend.health.since, to: status.taken), percentage(backend.share),
            "\(backend.traffic.packets)", "\(backend.traffic.bytes)",
            rate(backend.traffic.packetsPerSecond), rate(backend.traffic.bitsPerSecond),
            reason(backend),
        ])
    }
    return lines + table.lines(indentation: "  ")
}

/// A backend that is healthy but can't be reached is not down: its probes may go another way.
private func state(_ backend: Status.Backend) -> String {
    backend.way.obstacle == nil || backend.health.state == .down
        ? backend.health.state.rawValue : "unreachable"
}

private func reason(_ backend: Status.Backend) -> String {
    [backend.way.obstacle, backend.health.reason].compactMap { $0 }.joined(separator: "; ")
}

/// The text of `martlet counters`.
func text(_ report: CountersReport) -> String {
    let columns: [(String, Table.Alignment)] = [
        ("PACKETS", .right), ("BYTES", .right), ("PKT/S", .right), ("BIT/S", .right), ("", .left),
    ]
    var table = Table(columns)
    for verdict in report.verdicts {
        table.add(cells(verdict.traffic) + ["\(verdict.name): \(verdict.text)"])
    }
    table.add(cells(report.received) + ["received in all"])
    for service in report.services {
        table.add(["", "", "", "", ""])
        let name = service.name.map { "\($0)  " } ?? ""
        table.add(cells(service.traffic) + ["\(name)\(service.key): arrived"])
        for backend in service.backends {
            let name = backend.name.map { "\($0)  " } ?? ""
            table.add(cells(backend.traffic) + ["  to \(name)\(backend.address)"])
        }
    }
    return table.lines().joined(separator: "\n")
}

private func cells(_ traffic: Traffic) -> [String] {
    [
        "\(traffic.packets)", "\(traffic.bytes)", rate(traffic.packetsPerSecond),
        rate(traffic.bitsPerSecond),
    ]
}
