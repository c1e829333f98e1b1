import Balancing
import Packets

extension Reader {
    /// The whole document.
    mutating func desiredState(_ root: Value) -> DesiredState? {
        let keys = [
            "interfaces", "attach-mode", "tunnel-source", "nat-addresses", "vips", "services",
        ]
        guard let fields = fields(of: root, at: .root, keys: keys) else { return nil }
        let interfaces = interfaces(fields)
        let mode = read("attach-mode", fields, as: .attachMode, default: .native)
        let sources = tunnelSources(fields) ?? []
        let natAddresses = natAddresses(fields)
        let vips = vips(fields)
        let parts = services(fields, tunnelSources: sources)
        check(natAddresses, at: fields, for: parts)
        let services = whole(parts, vips)
        guard errors.isEmpty, let mode else { return nil }
        return DesiredState(
            interfaces: interfaces, attachMode: mode, natAddresses: natAddresses.all,
            services: services)
    }

    private mutating func interfaces(_ fields: Fields) -> [String] {
        let (path, accepted) = (
            fields.path.key("interfaces"), "a list of interface names, like [eth1]"
        )
        guard let value = required("interfaces", fields, accepted: accepted),
            let elements = elements(of: value, at: path, accepted: accepted)
        else { return [] }
        if !(1...Limits.interfaces).contains(elements.count) {
            report(
                value.position, path, found: "\(elements.count) interfaces",
                accepted: "1 to \(Limits.interfaces)")
        }
        var names = Distinct<String>()
        return elements.compactMap { element in
            guard let name = read(element.value, at: element.path, as: .interface) else {
                return nil
            }
            if let earlier = names.earlier(name, element.value.position) {
                report(
                    element.value.position, element.path,
                    found: "\(shown(name)), which is in line \(earlier.line) already",
                    accepted: "each interface once")
            }
            return name
        }
    }

    /// What was read of each service; nil: nothing.
    private mutating func services(
        _ fields: Fields, tunnelSources: [IPPrefix]
    ) -> [ServiceParts?] {
        let (path, accepted) = (fields.path.key("services"), "a list of services; [] for none")
        guard let value = required("services", fields, accepted: accepted),
            let elements = elements(of: value, at: path, accepted: accepted)
        else { return [] }
        if elements.count > Limits.services {
            let first = elements[Limits.services]
            report(
                first.value.position, first.path,
                found: "number \(Limits.services + 1) of \(elements.count) services",
                accepted: "at most \(Limits.services) services")
        }
        let parts = elements.map {
            serviceParts($0.value, at: $0.path, tunnelSources: tunnelSources)
        }
        check(parts)
        return parts
    }

    /// The services, if nothing is wrong with any, with what the file says of their VIPs.
    private mutating func whole(_ parts: [ServiceParts?], _ vips: [VIPParts]) -> [Service] {
        var parts = parts
        let settings = settings(of: vips, for: parts)
        for index in parts.indices {
            guard let prefix = parts[index]?.vip?.prefix, let own = settings[prefix] else {
                continue
            }
            parts[index]?.vip?.settings = own
        }
        guard errors.isEmpty else { return [] }
        let services = parts.compactMap(\.?.service)
        precondition(services.count == parts.count, "a service was lost without an error")
        return services
    }
}
