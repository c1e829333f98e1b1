import Balancing

extension Reader {
    /// The whole document.
    mutating func desiredState(_ root: Value) -> DesiredState? {
        let keys = ["interfaces", "attach-mode", "services"]
        guard let fields = fields(of: root, at: .root, keys: keys) else { return nil }
        let interfaces = interfaces(fields)
        let mode = read("attach-mode", fields, as: .attachMode, default: .native)
        let services = services(fields)
        guard errors.isEmpty, let mode else { return nil }
        return DesiredState(interfaces: interfaces, attachMode: mode, services: services)
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
            if let line = names.lineOfEarlier(name, element.value.position) {
                report(
                    element.value.position, element.path,
                    found: "\(shown(name)), which is in line \(line) already",
                    accepted: "each interface once")
            }
            return name
        }
    }

    private mutating func services(_ fields: Fields) -> [Service] {
        let (path, accepted) = (fields.path.key("services"), "a list of services; [] for none")
        guard let value = required("services", fields, accepted: accepted),
            let elements = elements(of: value, at: path, accepted: accepted)
        else { return [] }
        if elements.count > Limits.services {
            let first = elements[Limits.services]
            report(
                first.value.position, first.path,
                found: "the first of \(elements.count) services "
                    + "that is too many", accepted: "at most \(Limits.services) services")
        }
        let parts = elements.map { serviceParts($0.value, at: $0.path) }
        checkDistinct(parts)
        checkTotal(parts)
        guard errors.isEmpty else { return [] }
        let services = parts.compactMap(\.?.service)
        precondition(services.count == elements.count, "a service was lost without an error")
        return services
    }

    /// Names, and what clients address, tell services apart.
    private mutating func checkDistinct(_ parts: [ServiceParts?]) {
        var names = Distinct<String>()
        var keys = Distinct<ServiceKey>()
        for service in parts.compactMap({ $0 }) {
            if let name = service.name, let position = service.fields.values["name"]?.position,
                let line = names.lineOfEarlier(name, position)
            {
                report(
                    position, service.fields.path.key("name"),
                    found: "\(shown(name)), which is in line \(line) already",
                    accepted: "a name that no other service has")
            }
            if let key = service.key, let position = service.fields.values["vip"]?.position,
                let line = keys.lineOfEarlier(key, position)
            {
                report(
                    position, service.fields.path.key("vip"),
                    found: "\(key), which the service in line \(line) has already",
                    accepted: "a VIP, port and protocol that no other service has")
            }
        }
    }

    private mutating func checkTotal(_ parts: [ServiceParts?]) {
        let total = parts.reduce(0) { $0 + ($1?.backendPlaces.count ?? 0) }
        guard total > Limits.backends else { return }
        let place = parts.lazy.compactMap { $0 }.flatMap(\.backendPlaces).dropFirst(Limits.backends)
        guard let (position, path) = place.first else { return }
        report(
            position, path, found: "the first of \(total) backends in all that is too many",
            accepted: "at most \(Limits.backends) backends")
    }
}
