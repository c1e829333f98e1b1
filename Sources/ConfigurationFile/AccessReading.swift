import Balancing
import Packets

/// What was read of an access list.
struct AccessParts {
    var list = AccessList()
    /// Where its prefixes are, read or not.
    var places: [(position: Position, path: Path)] = []
}

extension Reader {
    /// - Parameter vip: Of the service; nil: could not be read, which has been reported.
    mutating func access(_ value: Value, at path: Path, vip: IPPrefix?) -> AccessParts {
        var parts = AccessParts()
        guard let fields = fields(of: value, at: path, keys: ["allow", "deny"]) else {
            return parts
        }
        if !fields.has("allow"), !fields.has("deny") {
            report(
                fields.position, path, found: "neither allow nor deny",
                accepted: "a list of prefixes under allow, deny or both")
        }
        var first: [IPPrefix: Int] = [:]
        for (key, rule) in [("allow", AccessList.Rule.allow), ("deny", .deny)] {
            for prefix in prefixes(key, fields, vip: vip, &first, &parts.places) {
                parts.list.rules[prefix] = rule
            }
        }
        return parts
    }

    private mutating func prefixes(
        _ key: String, _ fields: Fields, vip: IPPrefix?, _ first: inout [IPPrefix: Int],
        _ places: inout [(position: Position, path: Path)]
    ) -> [IPPrefix] {
        let accepted = "a list of prefixes, like [192.0.2.0/24]"
        let path = fields.path.key(key)
        guard let value = fields.values[key],
            let elements = elements(of: value, at: path, accepted: accepted)
        else { return [] }
        if elements.isEmpty {
            report(value.position, path, found: "no prefixes", accepted: "one or more")
        }
        places += elements.map { ($0.value.position, $0.path) }
        return elements.compactMap { element in
            guard let prefix = read(element.value, at: element.path, as: .prefix) else {
                return nil
            }
            let position = element.value.position
            if let vip, prefix.family != vip.family {
                report(
                    position, element.path,
                    found: "\(shown("\(prefix)")), \(prefix.family) for a VIP of \(vip.family)",
                    accepted: "\(vip.family)")
            } else if let line = first[prefix] {
                report(
                    position, element.path,
                    found: "\(shown("\(prefix)")), which is in line \(line) already",
                    accepted: "each prefix once, under allow or deny")
            } else {
                first[prefix] = position.line
            }
            return prefix
        }
    }
}
