public import Balancing
public import HealthChecks
public import Logging
public import Packets

/// Holds a plane to the desired state: the only one that changes it.
///
/// What it hears of health and of next hops becomes targets, targets become a plan, and the plan
/// is applied step by step. It knows what the plane holds, because nobody else writes to it.
public actor Controller<Plane: DataPlane> {
    private let plane: Plane
    private let logger: Logger
    private let services: [WatchedService]
    private var contents: PlaneContents
    private var reachability: [IPAddress: Reachability] = [:]
    private var health: [BackendReference: Health] = [:]

    /// Takes over what the plane holds: a backend that has slots is taken for up, and a known next
    /// hop for right, until there is news. So a restart empties no pool.
    public init(_ desired: DesiredState, on plane: Plane, logger: Logger) throws {
        self.plane = plane
        self.logger = logger
        contents = try plane.contents()
        services = desired.services.map(WatchedService.init)
        for backend in contents.backends.values {
            if let nextHop = backend.nextHop { reachability[backend.address] = .reachable(nextHop) }
        }
        for service in services {
            for backend in service.service.backends {
                health[BackendReference(service.service.name, backend.name)] = initialHealth(
                    of: backend, in: service.service, contents)
            }
        }
    }

    /// What has to be probed.
    public nonisolated var probeTargets: Set<ProbeTarget> {
        Set(services.flatMap(\.probeTargets))
    }

    /// Whose next hops have to be known.
    public nonisolated var addresses: Set<IPAddress> {
        Set(services.flatMap { $0.service.backends.map(\.address) })
    }

    /// Brings the plane to the desired state, and removes from it what is not desired.
    public func start() throws { try reconcile(services, others: .removed) }

    /// Takes a probe's result into account.
    public func take(_ result: ProbeResult, of target: ProbeTarget) throws {
        for watched in services where watched.service.healthCheck == target.check {
            for backend in watched.service.backends where backend.address == target.address {
                let reference = BackendReference(watched.service.name, backend.name)
                let transition = health[reference]?.take(
                    result, rise: target.check.rise, fall: target.check.fall)
                guard let transition else { continue }
                // First the change, then the word: who reads it may rely on it.
                try reconcile([watched], others: .kept)
                logger.notice(
                    "\(reference) is \(transition.to.rawValue): \(transition.cause)",
                    metadata: ["from": "\(transition.from.rawValue)"])
            }
        }
    }

    /// Takes what is now known of the ways into account; what is not named stays as it was.
    public func take(_ news: [IPAddress: Reachability]) throws {
        let changed = news.filter { reachability[$0.key] != $0.value }
        guard !changed.isEmpty else { return }
        reachability.merge(changed) { $1 }
        for (address, state) in changed.sorted(by: { $0.key < $1.key }) {
            switch state {
            case .reachable(let hop):
                logger.info("\(address) is reached over \(hop.egress.name) by \(hop.neighbour)")
            case .unreachable(let reason): logger.warning("\(address) is unreachable: \(reason)")
            }
        }
        let concerned = services.filter {
            $0.service.backends.contains { changed[$0.address] != nil }
        }
        try reconcile(concerned, others: .kept)
    }

    private func reconcile(_ concerned: [WatchedService], others: Plan.Others) throws {
        let plan = try Plan(from: contents, to: concerned.map(target), others: others)
        for step in plan.steps {
            try plane.apply(step)
            contents.apply(step)
        }
    }

    private func target(_ watched: WatchedService) -> Target {
        let service = watched.service
        let hops = service.backends.map { backend -> NextHop? in
            guard case .reachable(let hop) = reachability[backend.address] else { return nil }
            return hop
        }
        let serves = zip(service.backends, hops).map { backend, hop in
            hop != nil && health[BackendReference(service.name, backend.name)]?.state == .up
        }
        return Target(
            key: service.key, forwarding: service.forwarding,
            backends: zip(service.backends, hops).map {
                Target.Backend(address: $0.address, nextHop: $1)
            },
            slots: watched.base.falling(from: watched.members, to: serves))
    }
}

/// A backend by the names that people use: `web/server-a`.
struct BackendReference: Hashable, Sendable, CustomStringConvertible {
    let service: String
    let backend: String

    init(_ service: String, _ backend: String) {
        self.service = service
        self.backend = backend
    }

    var description: String { "\(service)/\(backend)" }
}

/// A service with the table of who owns what when all serve, which never changes.
private struct WatchedService: Sendable {
    let service: Service
    let members: [SlotTable.Member]
    let base: SlotTable

    init(_ service: Service) {
        self.service = service
        members = service.backends.map {
            SlotTable.Member(address: $0.address, weight: $0.weight)
        }
        base = SlotTable(members: members, count: 1 << 16)
    }

    var probeTargets: [ProbeTarget] {
        guard let check = service.healthCheck else { return [] }
        return service.backends.map { ProbeTarget(check: check, address: $0.address) }
    }
}

private func initialHealth(
    of backend: Backend, in service: Service, _ contents: PlaneContents
) -> Health {
    guard service.healthCheck != nil else { return Health(state: .up, because: "not checked") }
    guard let installed = contents.services[service.key] else {
        return Health(state: .unknown, because: "not probed yet")
    }
    let numbers = contents.backends
        .filter { $0.value.service == installed.id && $0.value.address == backend.address }.keys
    let hasSlots = installed.slots.contains { owner in owner.map(numbers.contains) ?? false }
    return hasSlots
        ? Health(state: .up, because: "served before this controller started")
        : Health(state: .unknown, because: "not probed yet")
}
