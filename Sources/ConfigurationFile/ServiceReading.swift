import Balancing
import Packets

/// What was read of a service; nil is what could not be.
struct ServiceParts {
    let fields: Fields
    var name: String?
    var vip: VIP?
    var ports: Ports?
    var transport: Transport?
    var scheduler: Scheduler?
    var forwarding: Forwarding?
    var tunnel: Tunnel?
    var access = AccessParts()
    var flows = FlowParts()
    var healthCheck: HealthCheck?
    var backends: [Backend] = []
    /// Where the addresses of those in `backends` are.
    var addressPlaces: [(position: Position, path: Path)] = []
    /// Where the backends are, read or not.
    var backendPlaces: [(position: Position, path: Path)] = []
    /// Those of the backends that are mappings.
    var backendFields: [Fields] = []

    /// Where the prefixes of the access list are, read or not.
    var accessPlaces: [(position: Position, path: Path)] { access.places }

    /// What clients address, if all of it is known.
    var frontend: Frontend? {
        guard let vip, let ports, let transport else { return nil }
        return Frontend(vip: vip.prefix, ports: ports, transport: transport)
    }

    /// The whole of it; nil only if an error was reported.
    var service: Service? {
        guard let name, let vip, let ports, let transport, let scheduler, let forwarding,
            let tunnel, let affinityTimeout = flows.affinityTimeout,
            let tracking = flows.tracking, let hold = flows.hold,
            let keepAlive = flows.keepAlive, let idleTimeout = flows.idleTimeout
        else { return nil }
        return Service(
            name: name, vip: vip, ports: ports, transport: transport, scheduler: scheduler,
            affinity: flows.affinity, affinityTimeout: affinityTimeout, forwarding: forwarding,
            tunnel: tunnel, access: access.list, tracking: tracking, hold: hold,
            keepAlive: keepAlive, idleTimeout: idleTimeout, slowStart: flows.slowStart,
            panicThreshold: flows.panicThreshold, healthCheck: healthCheck, backends: backends)
    }
}

extension Reader {
    /// - Parameter tunnelSources: Those of services that name none.
    mutating func serviceParts(
        _ value: Value, at path: Path, tunnelSources: [IPPrefix]
    ) -> ServiceParts? {
        let keys = [
            "name", "vip", "port", "ports", "protocol", "scheduler", "forwarding", "tunnel-port",
            "tunnel-source", "access", "health-check", "backends",
        ]
        guard let fields = fields(of: value, at: path, keys: keys + Self.flowKeys) else {
            return nil
        }
        var parts = ServiceParts(fields: fields)
        parts.name = read("name", fields, as: .name)
        parts.vip = read("vip", fields, as: .reachablePrefix).map { VIP($0) }
        parts.ports = ports(fields)
        parts.transport = read("protocol", fields, as: .transport, default: .tcp)
        parts.scheduler = read("scheduler", fields, as: .scheduler, default: .maglev)
        parts.forwarding = read("forwarding", fields, as: .forwarding)
        parts.tunnel = tunnel(fields, parts.forwarding, sources: tunnelSources)
        checkIsSingle(parts)
        parts.flows = flows(fields, parts.transport)
        if let list = fields.values["access"] {
            parts.access = access(list, at: path.key("access"), vip: parts.vip?.prefix)
        }
        if let check = fields.values["health-check"] {
            parts.healthCheck = healthCheck(
                check, at: path.key("health-check"), ports: parts.ports)
        }
        readBackends(into: &parts)
        checkFlows(parts)
        return parts
    }

    /// With `nat` an answer is made the VIP's without knowing the flow: there must be one only.
    private mutating func checkIsSingle(_ parts: ServiceParts) {
        guard parts.forwarding == .nat, let prefix = parts.vip?.prefix, !prefix.isSingle,
            let position = parts.fields.values["vip"]?.position
        else { return }
        report(
            position, parts.fields.path.key("vip"),
            found: "the prefix \(prefix) with forwarding: \(Forwarding.nat.rawValue)",
            accepted: "a single address, so that an answer tells what it answers; or forwarding: "
                + Forwarding.fullNAT.rawValue)
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
                found:
                    "number \(Limits.backendsOfService + 1) of \(elements.count) backends of one "
                    + "service",
                accepted: "at most \(Limits.backendsOfService) backends in a service")
        }
        var (names, addresses) = (Distinct<String>(), Distinct<IPAddress>())
        var (weights, backups): ([UInt16], [Bool]) = ([], [])
        for element in elements {
            let backend = backendParts(element.value, at: element.path, of: parts)
            if let backend { checkDistinct(backend, &names, &addresses) }
            if let weight = backend?.weight { weights.append(weight) }
            if let isBackup = backend?.isBackup { backups.append(isBackup) }
            if let fields = backend?.fields { parts.backendFields.append(fields) }
            if let parsed = backend?.backend, let fields = backend?.fields {
                parts.backends.append(parsed)
                parts.addressPlaces.append(
                    (
                        fields.values["address"]?.position ?? fields.position,
                        fields.path.key("address")
                    ))
            }
        }
        if !elements.isEmpty, weights.count == elements.count, weights.allSatisfy({ $0 == 0 }) {
            report(
                parts.fields.position, parts.fields.path, found: "weight 0 for every backend",
                accepted: "at least one backend with a weight from 1 to \(UInt16.max)")
        }
        if !elements.isEmpty, backups.count == elements.count, backups.allSatisfy(\.self) {
            report(
                parts.fields.position, parts.fields.path, found: "backup: true for every backend",
                accepted: "at least one backend without it, whose backups the others are")
        }
    }
}
