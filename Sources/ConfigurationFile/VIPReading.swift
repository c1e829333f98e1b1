import Balancing
import Packets

/// What the file says of a VIP itself, and not of one of its services.
struct VIPParts {
    let fields: Fields
    let prefix: IPPrefix?
    let settings: VIP.Settings?
}

extension Reader {
    /// The list of settings of VIPs; empty if the file has none.
    mutating func vips(_ fields: Fields) -> [VIPParts] {
        let path = fields.path.key("vips")
        guard let value = fields.values["vips"],
            let elements = elements(of: value, at: path, accepted: "a list of VIPs")
        else { return [] }
        var first = Distinct<IPPrefix>()
        return elements.compactMap { element in
            guard let parts = vipParts(element.value, at: element.path) else { return nil }
            if let prefix = parts.prefix, let position = parts.fields.values["address"]?.position,
                let earlier = first.earlier(prefix, position)
            {
                report(
                    position, parts.fields.path.key("address"),
                    found: "\(shown("\(prefix)")), which is in line \(earlier.line) already",
                    accepted: "each VIP once")
            }
            return parts
        }
    }

    private mutating func vipParts(_ value: Value, at path: Path) -> VIPParts? {
        guard let fields = fields(of: value, at: path, keys: ["address", "ping", "other-ports"])
        else { return nil }
        let prefix = read("address", fields, as: .reachablePrefix)
        let ping = read("ping", fields, as: .ping, default: .answer)
        let others = read("other-ports", fields, as: .otherPorts, default: .pass)
        let settings = ping.flatMap { ping in
            others.map { VIP.Settings(ping: ping, otherPorts: $0) }
        }
        return VIPParts(fields: fields, prefix: prefix, settings: settings)
    }

    /// The settings of each VIP; reports those of VIPs that no service has.
    mutating func settings(
        of vips: [VIPParts], for services: [ServiceParts?]
    ) -> [IPPrefix: VIP.Settings] {
        let known = Set(services.compactMap { $0?.vip?.prefix })
        // One that could not be read may be the one that is meant.
        let isComplete = !services.contains { $0?.vip == nil }
        var settings: [IPPrefix: VIP.Settings] = [:]
        for vip in vips {
            guard let prefix = vip.prefix else { continue }
            if isComplete, !known.contains(prefix),
                let position = vip.fields.values["address"]?.position
            {
                report(
                    position, vip.fields.path.key("address"),
                    found: "\(shown("\(prefix)")), which no service has",
                    accepted: "a VIP of a service, as it stands there")
            }
            settings[prefix] = vip.settings
        }
        return settings
    }
}
