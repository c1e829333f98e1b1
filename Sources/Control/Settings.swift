import Balancing
import ConfigurationFile
import Packets

/// Keys of a configuration file with their values as the file writes them.
///
/// A key of a list has a value for each entry; one that is not there has none.
struct Settings {
    /// In the order in which they are told.
    private(set) var keys: [String] = []
    private var values: [String: [String]] = [:]

    init() {}

    subscript(key: String) -> [String] { values[key] ?? [] }

    private mutating func add(_ key: String, _ entries: [String]) {
        keys.append(key)
        values[key] = entries
    }

    private mutating func add(_ key: String, _ value: String?) {
        add(key, value.map { [$0] } ?? [])
    }
}

extension Settings {
    /// Of a node, without its services.
    init(of state: DesiredState) {
        add("interfaces", state.interfaces)
        add("attach-mode", state.attachMode.rawValue)
        add("nat-addresses", state.natAddresses.map { "\($0)" })
    }

    /// What tells a service from others, and how its backends must be set up.
    init(identifying service: Service) {
        add("vip", "\(service.vip.prefix)")
        addPorts(service.ports)
        add("protocol", service.transport.name)
        add("forwarding", service.forwarding.rawValue)
    }

    /// Of a service, without its name and its backends.
    init(of service: Service) {
        self.init(identifying: service)
        add("vips.ping", service.vip.settings.ping.rawValue)
        add("vips.other-ports", service.vip.settings.otherPorts.rawValue)
        add("scheduler", service.scheduler.rawValue)
        add("affinity", service.affinity?.rawValue)
        add("affinity-timeout", spelled(service.affinityTimeout))
        add("tunnel-port", service.tunnel.port.map { "\($0)" })
        add("tunnel-source", service.tunnel.sources.map { "\($0)" })
        add("access.allow", prefixes(service.access, .allow))
        add("access.deny", prefixes(service.access, .deny))
        add("tracking", service.tracking ? "flows" : "none")
        add("hold", spelled(service.hold))
        add("keep-alive", spelled(service.keepAlive))
        add("idle-timeout", spelled(service.idleTimeout))
        add("slow-start", service.slowStart.map(spelled))
        add("panic-threshold", service.panicThreshold.map { "\($0)%" })
        if let check = service.healthCheck { add(check) }
    }

    /// Of a backend.
    init(of backend: Backend) {
        add("name", backend.name)
        add("address", "\(backend.address)")
        add("weight", "\(backend.weight)")
        add("port", backend.port.map { "\($0)" })
        add("max-connections", backend.maxConnections.map { "\($0)" })
        add("backup", "\(backend.isBackup)")
    }

    private mutating func addPorts(_ ports: Ports) {
        guard let ranges = ports.ranges, ports.single == nil else {
            add("port", "\(ports)")
            return add("ports", [])
        }
        add("port", [])
        add("ports", ranges.map { "\(Ports([$0]))" })
    }

    private mutating func add(_ check: HealthCheck) {
        switch check.probe {
        case .tcp: add("health-check.type", "tcp")
        case .http(let path, let host):
            add("health-check.type", "http")
            add("health-check.path", path)
            add("health-check.host", host)
        }
        // Where the file does not say it, backends with a port of their own are asked there.
        let origin = check.isPortFixed ? "" : " (the service's)"
        add("health-check.port", "\(check.port)\(origin)")
        add("health-check.interval", spelled(check.interval))
        add("health-check.timeout", spelled(check.timeout))
        add("health-check.rise", "\(check.rise)")
        add("health-check.fall", "\(check.fall)")
    }

    private func prefixes(_ list: AccessList, _ rule: AccessList.Rule) -> [String] {
        list.rules.filter { $0.value == rule }.keys.sorted().map { "\($0)" }
    }
}
