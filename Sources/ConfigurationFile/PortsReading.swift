import Balancing

extension Kind where Result == Ports {
    /// A port, or `any` for all of them.
    static var port: Kind {
        let number = Kind<UInt16>.number(1...65535)
        return Kind(accepted: "\(number.accepted), or any") { text, isQuoted in
            if text == "any" { return .value(.any) }
            if case .value = Kind<ClosedRange<UInt16>>.ports.read(text, false),
                text.contains("-")
            {
                return .refused(suggestion: "ports: \(text)")
            }
            return switch number.read(text, isQuoted) {
            case .value(let port): .value(Ports(port))
            case .refused(let remark, let accepted, let suggestion):
                .refused(
                    remark: remark, accepted: accepted,
                    suggestion: suggestion ?? nearest(to: text, among: ["any"]))
            }
        }
    }
}

extension Kind where Result == ClosedRange<UInt16> {
    /// A port, or a range of them.
    static var ports: Kind {
        let number = Kind<UInt16>.number(1...65535)
        let accepted = "\(number.accepted), or a range of such, like 8000-8100"
        return Kind(accepted: accepted) { text, isQuoted in
            if text == "any" { return .refused(suggestion: "port: any") }
            let ends = text.split(separator: "-", omittingEmptySubsequences: false)
            guard ends.count == 2 else {
                return switch number.read(text, isQuoted) {
                case .value(let port): .value(port...port)
                case .refused(let remark, _, let suggestion):
                    .refused(remark: remark, suggestion: suggestion)
                }
            }
            guard case .value(let first) = number.read(String(ends[0]), false),
                case .value(let last) = number.read(String(ends[1]), false)
            else { return .refused() }
            guard first <= last else {
                return .refused(
                    remark: "which goes backwards", suggestion: "\(last)-\(first)")
            }
            return .value(first...last)
        }
    }
}

extension Reader {
    /// What stands under `port` or `ports`, of which a service has one.
    mutating func ports(_ fields: Fields) -> Ports? {
        guard fields.has("ports") else { return read("port", fields, as: .port) }
        if fields.has("port"), let position = fields.keyPositions["ports"] {
            report(
                position, fields.path.key("ports"), found: "the key besides port",
                accepted: "one of port and ports")
            // Whichever stays, it has to be right.
            _ = read("port", fields, as: .port, default: nil)
            _ = listedPorts(fields)
            return nil
        }
        return listedPorts(fields)
    }

    private mutating func listedPorts(_ fields: Fields) -> Ports? {
        guard let value = fields.values["ports"] else { return nil }
        let path = fields.path.key("ports")
        guard case .list(let elements) = value.content else {
            return read(value, at: path, as: .ports).map { Ports([$0]) }
        }
        if elements.isEmpty {
            report(
                value.position, path, found: "no ports",
                accepted: "one or more, like [80, 443, 8000-8100]")
            return nil
        }
        return ports(elements.enumerated().map { ($0.element, path.index($0.offset)) })
    }

    private mutating func ports(_ elements: [(value: Value, path: Path)]) -> Ports? {
        var ranges: [(range: ClosedRange<UInt16>, line: Int)] = []
        for element in elements {
            guard let range = read(element.value, at: element.path, as: .ports) else { continue }
            if let earlier = ranges.first(where: { $0.range.overlaps(range) }) {
                report(
                    element.value.position, element.path,
                    found: "\(Ports([range])), of which a part is in line \(earlier.line) already",
                    accepted: "each port once")
            }
            ranges.append((range, element.value.position.line))
        }
        return ranges.count == elements.count ? Ports(ranges.map(\.range)) : nil
    }
}
