import Balancing
import Packets

extension Reader {
    /// The outer source addresses; nil: the file does not say, or an error was reported.
    mutating func tunnelSources(_ fields: Fields) -> [IPPrefix]? {
        let path = fields.path.key("tunnel-source")
        guard let value = fields.values["tunnel-source"] else { return nil }
        guard case .list(let elements) = value.content else {
            return read(value, at: path, as: .reachablePrefix).map { [$0] }
        }
        if elements.isEmpty {
            report(
                value.position, path, found: "no addresses",
                accepted: "an address or a prefix, or one of each family")
        }
        var first: [IPFamily: Int] = [:]
        return elements.enumerated().compactMap { index, element in
            guard let prefix = read(element, at: path.index(index), as: .reachablePrefix) else {
                return nil
            }
            if let line = first[prefix.family] {
                report(
                    element.position, path.index(index),
                    found: "\(shown("\(prefix)")), \(prefix.family) like the one in line \(line)",
                    accepted: "one of each family")
            }
            first[prefix.family] = element.position.line
            return prefix
        }
    }

    /// How packets are carried, if they are.
    ///
    /// - Parameters:
    ///   - forwarding: Nil: could not be read, which has been reported.
    ///   - standard: The sources of services that name none.
    mutating func tunnel(
        _ fields: Fields, _ forwarding: Forwarding?, sources standard: [IPPrefix]
    ) -> Tunnel? {
        let port = read(
            "tunnel-port", fields, as: .number(1...65535), default: Tunnel.standardPort)
        let sources = tunnelSources(fields)
        guard let forwarding else { return nil }
        if forwarding != .gue { refuse("tunnel-port", fields, forwarding, with: [.gue]) }
        if !forwarding.isTunnel {
            refuse(
                "tunnel-source", fields, forwarding,
                with: Forwarding.allCases.filter(\.isTunnel))
            return Tunnel()
        }
        return Tunnel(port: forwarding == .gue ? port : nil, sources: sources ?? standard)
    }

    private mutating func refuse(
        _ key: String, _ fields: Fields, _ forwarding: Forwarding, with modes: [Forwarding]
    ) {
        refuse(
            key, fields, with: "forwarding: \(forwarding.rawValue)",
            accepted: "it with forwarding: "
                + modes.map(\.rawValue).joined(separator: " or ") + " only")
    }
}
