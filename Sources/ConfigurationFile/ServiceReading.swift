import Balancing
import Packets

/// What was read of a service; nil is what could not be.
struct ServiceParts {
    let fields: Fields
    var name: String?
    var vip: IPAddress?
    var port: ServicePort?
    var transport: Transport?
    var scheduler: Scheduler?
    var forwarding: Forwarding?
    var tunnelPort: UInt16?
    var access: AccessList?
    var healthCheck: HealthCheck?
    var backends: [Backend] = []
    /// Where the backends are, read or not.
    var backendPlaces: [(position: Position, path: Path)] = []

    /// What clients address, if all of it is known.
    var key: ServiceKey? {
        guard let vip, let port, let transport else { return nil }
        return ServiceKey(vip: vip, port: port.number, transport: transport)
    }

    /// The whole of it; nil only if an error was reported.
    var service: Service? {
        guard let name, let key, let scheduler, let forwarding, let tunnelPort, let access
        else { return nil }
        return Service(
            name: name, key: key, scheduler: scheduler, forwarding: forwarding,
            tunnelPort: tunnelPort, access: access, healthCheck: healthCheck, backends: backends)
    }
}

extension Reader {
    mutating func serviceParts(_ value: Value, at path: Path) -> ServiceParts? {
        let keys = [
            "name", "vip", "port", "protocol", "scheduler", "forwarding", "tunnel-port", "access",
            "health-check", "backends",
        ]
        guard let fields = fields(of: value, at: path, keys: keys) else { return nil }
        var parts = ServiceParts(fields: fields)
        parts.name = read("name", fields, as: .name)
        parts.vip = read("vip", fields, as: .address)
        parts.port = read("port", fields, as: .servicePort)
        parts.transport = read("protocol", fields, as: .transport, default: .tcp)
        parts.scheduler = read("scheduler", fields, as: .scheduler, default: .maglev)
        parts.forwarding = read("forwarding", fields, as: .forwarding)
        parts.tunnelPort = tunnelPort(fields, parts.forwarding)
        parts.access = accessList(fields, vip: parts.vip)
        if let check = fields.values["health-check"] {
            parts.healthCheck = healthCheck(
                check, at: path.key("health-check"), servicePort: parts.port)
        }
        readBackends(into: &parts)
        return parts
    }

    /// Only GUE has a port; in another mode somebody meant something else.
    private mutating func tunnelPort(_ fields: Fields, _ forwarding: Forwarding?) -> UInt16? {
        if let forwarding, forwarding != .gue, let position = fields.keyPositions["tunnel-port"] {
            report(
                position, fields.path.key("tunnel-port"),
                found: "the key with forwarding: \(forwarding.rawValue)",
                accepted: "it with forwarding: gue only")
        }
        return read(
            "tunnel-port", fields, as: .number(1...UInt16.max),
            default: Service.standardTunnelPort)
    }

    private mutating func readBackends(into parts: inout ServiceParts) {
        let (path, accepted) = (parts.fields.path.key("backends"), "a list of backends")
        guard let value = required("backends", parts.fields, accepted: accepted),
            let elements = elements(of: value, at: path, accepted: accepted)
        else { return }
        parts.backendPlaces = elements.map { ($0.value.position, $0.path) }
        if elements.isEmpty {
            report(
                value.position, path, found: "no backends",
                accepted: "1 to \(Limits.backendsOfService)")
        }
        if elements.count > Limits.backendsOfService {
            let first = elements[Limits.backendsOfService]
            report(
                first.value.position, first.path,
                found: "the first of \(elements.count) backends of one service that is too many",
                accepted: "at most \(Limits.backendsOfService) backends in a service")
        }
        var (names, addresses) = (Distinct<String>(), Distinct<IPAddress>())
        var weights: [UInt16] = []
        for element in elements {
            let backend = backendParts(element.value, at: element.path, of: parts)
            if let backend { checkDistinct(backend, &names, &addresses) }
            if let weight = backend?.weight { weights.append(weight) }
            if let backend = backend?.backend { parts.backends.append(backend) }
        }
        if !elements.isEmpty, weights.count == elements.count, weights.allSatisfy({ $0 == 0 }) {
            report(
                parts.fields.position, parts.fields.path, found: "weight 0 for every backend",
                accepted: "at least one backend with a weight from 1 to \(UInt16.max)")
        }
    }
}
