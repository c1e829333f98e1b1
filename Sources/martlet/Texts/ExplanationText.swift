import Balancing
import Control

/// The text of `martlet explain`.
///
/// - Parameter withPacket: Whether the frame is shown that would leave.
func text(
    _ explanation: Explanation, of query: ExplainQuery, withPacket: Bool = false,
    on paper: Paper = Paper()
) -> String {
    let source = Endpoint(address: query.source, port: query.sourcePort)
    let target = Endpoint(address: query.destination, port: query.destinationPort)
    let kind = query.transport == .udp ? "" : query.isNewFlow ? ", SYN" : ", without SYN"
    var lines = ["\(source) \(paper.arrow) \(target)/\(query.transport.name)\(kind)"]
    var steps = Table([("", .left), ("", .left)])
    for step in explanation.steps {
        steps.add([StyledText(step.name, .heading), StyledText(step.finding)])
        if let reason = step.reason {
            steps.add([StyledText(""), StyledText("because \(reason)", .faint)])
        }
    }
    lines += steps.lines(indentation: "  ", on: paper).drop { $0.isEmpty }
    let isGood = !explanation.verdict.hasPrefix("DROP_")
    lines.append(
        StyledText("\(explanation.verdict): \(explanation.text)", isGood ? .good : .bad)
            .rendered(isColoured: paper.isColoured))
    lines.append(confirmation(explanation).rendered(isColoured: paper.isColoured))
    if withPacket {
        lines += explanation.packet.map { ["", "the frame that leaves:"] + hexdump($0) }
            ?? ["", "no frame leaves"]
    }
    return lines.joined(separator: "\n")
}

/// Whether the program itself says the same.
private func confirmation(_ explanation: Explanation) -> StyledText {
    if explanation.isConfirmed { return "the program does the same, as a test run of it shows" }
    let reason = explanation.contradiction ?? "it was not asked"
    return StyledText("NOT CONFIRMED by the program: \(reason)", .caution)
}

/// Hexadecimal digits as bytes, 16 on a line behind the place of the first, and as ASCII.
func hexdump(_ digits: String) -> [String] {
    let digits = Array(digits.utf8)
    let bytes = stride(from: 0, to: digits.count - digits.count % 2, by: 2).map {
        String(decoding: digits[$0..<$0 + 2], as: UTF8.self)
    }
    return stride(from: 0, to: bytes.count, by: 16).map { start in
        let row = bytes[start..<min(start + 16, bytes.count)]
        let halves = [row.prefix(8), row.dropFirst(8)].map { $0.joined(separator: " ") }
        let columns = StyledText(halves.joined(separator: "  ")).padded(to: 49).string
        let letters = row.map { byte in
            let code = UInt8(byte, radix: 16) ?? 0
            return (0x20..<0x7F).contains(code) ? String(UnicodeScalar(code)) : "."
        }
        let place = String(start, radix: 16)
        return "  " + String(repeating: "0", count: 4 - place.count) + place + "  " + columns
            + "  " + letters.joined()
    }
}

/// The text of `martlet explain --why-not`.
func text(_ exclusion: Exclusion, on paper: Paper = Paper()) -> String {
    let name = "\(exclusion.service)/\(exclusion.backend)"
    let share = "\(percentage(exclusion.share)) of the new flows of \(exclusion.service)"
    let head: StyledText
    if exclusion.isOut {
        head = StyledText("\(name) gets no new flows", .bad)
    } else if exclusion.reasons.isEmpty {
        head = StyledText("nothing keeps \(name) out: it gets \(share)", .good)
    } else {
        head = StyledText("\(name) gets \(share)", .caution)
    }
    var reasons = Table([("", .left), ("", .left)])
    for reason in exclusion.reasons {
        reasons.add([StyledText(reason.name, .heading), StyledText(reason.text)])
    }
    let lines = [head.rendered(isColoured: paper.isColoured)]
    return (lines + reasons.lines(indentation: "  ", on: paper).drop { $0.isEmpty })
        .joined(separator: "\n")
}

/// What can't be said of which backend is meant.
enum NameProblem: Error, Hashable, CustomStringConvertible {
    case unknown(String, among: [String])
    case ambiguous(String, among: [String])

    var description: String {
        switch self {
        case .unknown(let name, let names):
            names.isEmpty
                ? "there is no backend \(name); there are none at all"
                : "there is no backend \(name); backends are \(list(names))"
        case .ambiguous(let name, let names):
            "several services have a backend \(name): \(list(names))\n  name one of these"
        }
    }

    private func list(_ names: [String]) -> String {
        let most = 12
        let others = names.count > most ? " and \(names.count - most) others" : ""
        return names.prefix(most).joined(separator: ", ") + others
    }
}

/// The backend that people call `name`: with its service, or alone if no other is called so.
///
/// - Parameter service: Its name, or an address and port of it; nil: any.
func resolve(
    _ name: String, service: String? = nil, in status: Status
) throws(NameProblem) -> BackendReference {
    let all = status.services.flatMap { service in
        service.backends.map { (service, BackendReference(service.name, $0.name)) }
    }
    let among = all.filter { item in
        service.map { $0 == item.0.name || item.0.key.hasPrefix("\($0)/") } ?? true
    }
    let found = among.map(\.1).filter { $0.backend == name || "\($0)" == name }
    switch found.count {
    case 1: return found[0]
    case 0: throw .unknown(name, among: among.map { "\($0.1)" })
    default: throw .ambiguous(name, among: found.map { "\($0)" })
    }
}
