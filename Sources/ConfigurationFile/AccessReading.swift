import Balancing
import Packets

extension Reader {
    /// The access list of a service; everybody, if the file has none.
    ///
    /// - Parameter vip: Nil: could not be read, which has been reported.
    mutating func accessList(_ fields: Fields, vip: IPAddress?) -> AccessList? {
        guard let value = fields.values["access"] else { return AccessList() }
        let path = fields.path.key("access")
        guard let lists = self.fields(of: value, at: path, keys: ["allow", "deny"]) else {
            return nil
        }
        var rules: [IPPrefix: AccessList.Answer] = [:]
        var lines = Distinct<IPPrefix>()
        for (name, answer) in [("allow", AccessList.Answer.allow), ("deny", .deny)] {
            for (prefix, place) in prefixes(name, of: lists) {
                check(prefix, at: place, &lines, vip)
                rules[prefix] = answer
            }
        }
        if rules.isEmpty, !lists.has("allow"), !lists.has("deny") {
            report(value, at: path, accepted: "a list of prefixes under allow, deny or both")
        }
        return AccessList(rules)
    }

    private typealias Place = (position: Position, path: Path)

    private mutating func prefixes(_ name: String, of lists: Fields) -> [(IPPrefix, Place)] {
        let (path, accepted) = (lists.path.key(name), "a list of prefixes, like [198.51.100.0/24]")
        guard let value = lists.values[name],
            let elements = elements(of: value, at: path, accepted: accepted)
        else { return [] }
        if !(1...Limits.accessRules).contains(elements.count) {
            report(
                value.position, path, found: "\(elements.count) prefixes",
                accepted: "1 to \(Limits.accessRules)")
        }
        return elements.compactMap { element in
            read(element.value, at: element.path, as: .prefix)
                .map { ($0, (element.value.position, element.path)) }
        }
    }

    /// Each prefix once, and of the VIP's family: a client of the other one can't reach it.
    private mutating func check(
        _ prefix: IPPrefix, at place: Place, _ lines: inout Distinct<IPPrefix>, _ vip: IPAddress?
    ) {
        if let line = lines.lineOfEarlier(prefix, place.position) {
            report(
                place.position, place.path,
                found: "\(shown("\(prefix)")), which is in line \(line) already",
                accepted: "each prefix once, allowed or denied")
        }
        if let vip, prefix.family != vip.family {
            report(
                place.position, place.path,
                found: "\(shown("\(prefix)")), \(prefix.family) before a VIP of \(vip.family)",
                accepted: "a prefix of \(vip.family)")
        }
    }
}

extension Kind where Result == IPPrefix {
    /// An address, or a prefix without a bit behind it.
    static var prefix: Kind {
        Kind(accepted: "an address or a prefix, like 198.51.100.0/24") { text, _ in
            if let prefix = IPPrefix(text) { return .value(prefix) }
            let parts = text.split(separator: "/", maxSplits: 1)
            guard parts.count == 2, let address = IPAddress(String(parts[0])),
                let length = Int(parts[1]), let prefix = IPPrefix(address, length: length)
            else { return .refused() }
            return .refused(
                remark: "which has bits behind the prefix", suggestion: "\(prefix)")
        }
    }
}
