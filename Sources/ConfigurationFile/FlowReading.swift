import Balancing

/// What was read of a service about its flows: which backend gets new ones, and how long those
/// that there are are known. Nil is what could not be read, or what may be left out.
struct FlowParts {
    var affinity: Affinity?
    var affinityTimeout: Duration?
    var tracking: Bool?
    var hold: Duration?
    var keepAlive: Duration?
    var idleTimeout: Duration?
    var slowStart: Duration?
    var panicThreshold: Int?
}

extension Reader {
    /// The keys that ``flows(_:_:)`` reads.
    static let flowKeys = [
        "affinity", "affinity-timeout", "tracking", "hold", "keep-alive", "idle-timeout",
        "slow-start", "panic-threshold",
    ]

    mutating func flows(_ fields: Fields, _ transport: Transport?) -> FlowParts {
        var flows = FlowParts()
        let idle = Kind.duration(from: Limits.leastIdle, to: Limits.idle, like: .seconds(7200))
        flows.affinity = read("affinity", fields, as: .affinity, default: nil)
        flows.affinityTimeout = read(
            "affinity-timeout", fields, as: idle, default: Service.affinityTimeout)
        flows.tracking = read("tracking", fields, as: .tracking, default: true)
        flows.hold = read(
            "hold", fields,
            as: .duration(from: .milliseconds(10), to: Limits.idle, like: .seconds(3600)),
            default: Service.hold)
        flows.keepAlive = read(
            "keep-alive", fields,
            as: .duration(from: .milliseconds(10), to: Limits.idle / 2, like: .seconds(900)),
            default: Service.keepAlive)
        flows.idleTimeout = read(
            "idle-timeout", fields, as: idle,
            default: transport.map { Service.idleTimeout(of: $0) })
        flows.slowStart = read(
            "slow-start", fields,
            as: .duration(from: .seconds(1), to: .seconds(3600), like: .seconds(30)), default: nil)
        let threshold = read("panic-threshold", fields, as: .threshold, default: nil)
        flows.panicThreshold = threshold == 0 ? nil : threshold
        return flows
    }

    /// What the settings of a service ask of one another.
    mutating func checkFlows(_ parts: ServiceParts) {
        checkTracking(parts)
        checkAffinity(parts)
        checkSilence(parts)
        checkAgainstHealthCheck(parts)
    }

    private mutating func checkTracking(_ parts: ServiceParts) {
        let fields = parts.fields
        if parts.transport == .tcp {
            return refuse(
                "tracking", fields, with: "protocol: tcp",
                accepted: "it with protocol: udp only: TCP says itself where a flow begins")
        }
        guard parts.transport == .udp, parts.flows.tracking == false,
            let position = fields.values["tracking"]?.position
        else { return }
        let path = fields.path.key("tracking")
        if parts.forwarding == .fullNAT {
            report(
                position, path, found: "none with forwarding: \(Forwarding.fullNAT.rawValue)",
                accepted: "flows: each has a port of a NAT address, by which it is remembered")
        }
        if let scheduler = parts.scheduler, scheduler != .maglev {
            report(
                position, path, found: "none with scheduler: \(scheduler.rawValue)",
                accepted:
                    "flows, or scheduler: \(Scheduler.maglev.rawValue), which alone finds the "
                    + "backend of a flow again that is not remembered")
        }
        for key in ["hold", "keep-alive", "idle-timeout"] {
            refuse(
                key, fields, with: "tracking: none",
                accepted: "it with tracking: flows, for each datagram is a flow of its own")
        }
        for backend in parts.backendFields {
            refuse(
                "max-connections", backend, with: "tracking: none",
                accepted: "it with tracking: flows, for only those are counted")
        }
    }

    /// With maglev it is the hash that leads a client to its backend.
    private mutating func checkAffinity(_ parts: ServiceParts) {
        let key = "affinity-timeout"
        if !parts.fields.has("affinity") {
            return refuse(
                key, parts.fields, with: "no affinity",
                accepted: "it with affinity: \(Affinity.client.rawValue) only")
        }
        guard parts.scheduler == .maglev else { return }
        refuse(
            key, parts.fields, with: "scheduler: \(Scheduler.maglev.rawValue)",
            accepted: "it with another scheduler only: here the hash of a client's address leads "
                + "to its backend, without end")
    }

    /// A connection that is alive must not be taken for one that is not.
    private mutating func checkSilence(_ parts: ServiceParts) {
        let (fields, flows) = (parts.fields, parts.flows)
        guard let forwarding = parts.forwarding, let transport = parts.transport else { return }
        if forwarding == .fullNAT {
            return refuse(
                "idle-timeout", fields, with: "forwarding: \(forwarding.rawValue)",
                accepted: "it with another mode only: NAT has limits of its own (2 h 13 min for "
                    + "TCP, 5 min for UDP)")
        }
        guard transport == .tcp, let idle = flows.idleTimeout, let keepAlive = flows.keepAlive,
            idle < keepAlive * 2
        else { return }
        let reason = ": else a silent connection that is alive would be forgotten"
        if let position = fields.values["idle-timeout"]?.position {
            let origin = fields.has("keep-alive") ? "" : ", the default"
            report(
                position, fields.path.key("idle-timeout"), found: shown(spelled(idle)),
                accepted: "at least twice the keep-alive (\(spelled(keepAlive))\(origin))\(reason)")
        } else if let position = fields.values["keep-alive"]?.position {
            report(
                position, fields.path.key("keep-alive"), found: shown(spelled(keepAlive)),
                accepted: "at most half the idle-timeout (\(spelled(idle)), the default)\(reason)")
        }
    }

    private mutating func checkAgainstHealthCheck(_ parts: ServiceParts) {
        let (fields, flows) = (parts.fields, parts.flows)
        if let hold = flows.hold, let interval = parts.healthCheck?.interval, hold < interval,
            let position = fields.values["hold"]?.position
        {
            report(
                position, fields.path.key("hold"), found: shown(spelled(hold)),
                accepted: "at least the health check's interval (\(spelled(interval))): else a "
                    + "backend would be forgotten before its next check")
        }
        guard !fields.has("health-check") else { return }
        if flows.panicThreshold != nil {
            refuse(
                "panic-threshold", fields, with: "no health-check",
                accepted: "it with a health-check only: without one every backend counts as "
                    + "healthy")
        }
        guard parts.scheduler == .responseTime, let forwarding = parts.forwarding,
            let transport = parts.transport, !(forwarding.isTranslation && transport == .tcp),
            let position = fields.values["scheduler"]?.position
        else { return }
        let modes = Forwarding.allCases.filter(\.isTranslation).map(\.rawValue)
        report(
            position, fields.path.key("scheduler"),
            found: "\(Scheduler.responseTime.rawValue) with no health-check, \(transport.name) and "
                + "forwarding: \(forwarding.rawValue)",
            accepted: "it with a health-check, or tcp and forwarding: "
                + modes.joined(separator: " or ") + ", for else nothing is timed")
    }
}
