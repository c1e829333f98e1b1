public import Balancing
public import FoundationEssentials
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
    private let now: @Sendable () -> Date
    private let services: [WatchedService]
    private let natAddresses: [IPAddress]
    private var contents: PlaneContents
    private var reachability: [IPAddress: Reachability] = [:]
    private var health: [BackendReference: Health] = [:]
    /// Indices of the services whose targets may differ from what the plane holds.
    private var unsettled: Set<Int> = []
    /// Why the last attempt to settle them was refused, so that each refusal is told once.
    private var refusals: [Int: String] = [:]
    /// The last two readings of the counters; the older is what rates are reckoned from.
    private var baseline: Reading?
    private var latest: Reading?

    /// Takes over what the plane holds: a backend that has slots is taken for up, and a known next
    /// hop for right, until there is news. So a restart empties no pool.
    public init(
        _ desired: DesiredState, on plane: Plane, logger: Logger,
        now: @escaping @Sendable () -> Date = { .now }
    ) throws {
        self.plane = plane
        self.logger = logger
        self.now = now
        contents = try plane.contents()
        services = desired.services.map(WatchedService.init)
        natAddresses = desired.natAddresses
        for backend in contents.backends.values {
            if let nextHop = backend.nextHop { reachability[backend.address] = .reachable(nextHop) }
        }
        for service in services {
            for backend in service.service.backends {
                health[BackendReference(service.service.name, backend.name)] = initialHealth(
                    of: backend, in: service.service, contents, at: now())
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
    public func start() throws {
        try apply(
            Plan(from: contents, to: services.map(target), others: .removed, pool: wantedPool()))
    }

    private func wantedPool() throws -> Plan.Pool {
        let inQuestion = contents.pool.inQuestion(wanting: natAddresses)
        return Plan.Pool(addresses: natAddresses, use: try plane.natUse(at: inQuestion))
    }

    /// Forgets where flows of `full-nat` were before the NAT addresses changed, as far as none of
    /// them is open there; to be called every minute.
    public func tidyPool() throws {
        guard !contents.pool.inQuestion(wanting: natAddresses).isEmpty else { return }
        try apply(Plan(from: contents, to: [], others: .kept, pool: wantedPool()))
    }

    /// Has answers leave by these interfaces and no others, but for those that the kernel sends.
    public func take(exits: [UInt32: Egress]) {
        do {
            try apply(Plan(from: contents, toExits: exits))
        } catch {
            logger.error("answers may not leave by the way that they should: \(error)")
        }
    }

    /// Takes a probe's result into account.
    public func take(_ result: ProbeResult, of target: ProbeTarget) {
        var news: [(BackendReference, Health.Transition)] = []
        for (index, watched) in services.enumerated()
        where watched.service.healthCheck != nil {
            for backend in watched.service.backends
            where backend.address == target.address
                && watched.service.healthCheck(of: backend) == target.check
            {
                let reference = BackendReference(watched.service.name, backend.name)
                let transition = health[reference]?.take(
                    result, at: now(), rise: target.check.rise, fall: target.check.fall)
                guard let transition else { continue }
                unsettled.insert(index)
                news.append((reference, transition))
            }
        }
        // First the change, then the word: who reads it may rely on it.
        settle()
        for (reference, transition) in news {
            logger.notice(
                "\(reference) is \(transition.to.rawValue): \(transition.cause)",
                metadata: ["from": "\(transition.from.rawValue)"])
        }
    }

    /// Takes what is now known of the ways into account; what is not named stays as it was.
    public func take(_ news: [IPAddress: Reachability]) {
        let changed = news.filter { reachability[$0.key] != $0.value }
        reachability.merge(changed) { $1 }
        for (address, state) in changed.sorted(by: { $0.key < $1.key }) {
            switch state {
            case .reachable(let hop):
                let limit = hop.routeMTU.map { ", with \($0) bytes at most" } ?? ""
                logger.info(
                    "\(address) is reached over \(hop.egress.name) by \(hop.neighbour)\(limit)")
            case .unreachable(let reason): logger.warning("\(address) is unreachable: \(reason)")
            }
        }
        for (index, watched) in services.enumerated()
        where watched.service.backends.contains(where: { changed[$0.address] != nil }) {
            unsettled.insert(index)
        }
        settle()
    }

    /// Brings the plane up to date with all news. What it refuses waits for the next call.
    public func settle() {
        for index in unsettled.sorted() {
            let name = services[index].service.name
            do {
                try apply(
                    Plan(from: contents, to: [target(services[index])], others: .kept))
                unsettled.remove(index)
                if refusals.removeValue(forKey: index) != nil {
                    logger.notice("\(name) is up to date again")
                }
            } catch {
                let reason = "\(error)"
                guard refusals.updateValue(reason, forKey: index) != reason else { continue }
                logger.error("\(name) is not up to date: \(reason)")
            }
        }
    }

    private func apply(_ plan: Plan) throws {
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
            for: service, keys: watched.keys,
            backends: zip(service.backends, hops).map { Target.Backend($0, nextHop: $1) },
            slots: watched.base.falling(from: watched.members, to: serves))
    }
}

// MARK: - What it tells

extension Controller {
    /// Reads the counters now, for the rates that are told later; to be called every second.
    public func read() throws {
        let reading = try Reading(taken: now(), counters: plane.counters())
        (baseline, latest) = (latest, reading)
    }

    /// What is known now. `interfaces` is the one thing that a controller does not know.
    public func status(on interfaces: [Status.Interface]) throws -> Status {
        let reading = try Reading(taken: now(), counters: plane.counters())
        let meter = Meter(reading, since: baseline)
        return Status(
            taken: reading.taken, interval: meter.interval, interfaces: interfaces,
            services: services.enumerated().map { index, watched in
                var service = status(of: watched, meter)
                service.refusal = refusals[index]
                return service
            })
    }

    /// What was counted until now.
    public func counters() throws -> CountersReport {
        let reading = try Reading(taken: now(), counters: plane.counters())
        let named = services.compactMap { watched in
            contents.service(behind: watched.service.frontend).map { ($0, Names(watched.service)) }
        }
        let names = Dictionary(named, uniquingKeysWith: { first, _ in first })
        return CountersReport(Meter(reading, since: baseline), of: contents, names: names)
    }

    private func status(of watched: WatchedService, _ meter: Meter) -> Status.Service {
        let service = watched.service
        let installed = contents.service(behind: service.frontend)
        let slots = installed.flatMap { contents.services[$0]?.slots } ?? []
        let owned = slots.reduce(into: [BackendID: Int]()) { owned, owner in
            if let owner { owned[owner, default: 0] += 1 }
        }
        let numbers = Dictionary(
            contents.backends.filter { $0.value.service == installed }
                .map { ($0.value.address, $0.key) }, uniquingKeysWith: { first, _ in first })
        return Status.Service(
            service, slots: slots.count,
            slotsWithoutOwner: slots.count - owned.values.reduce(0, +),
            traffic: installed.map { meter.traffic(of: $0) } ?? Traffic(Count()),
            backends: service.backends.map { backend in
                let number = numbers[backend.address]
                return Status.Backend(
                    backend, health: health[BackendReference(service.name, backend.name)],
                    way: reachability[backend.address],
                    slots: number.flatMap { owned[$0] } ?? 0, of: slots.count,
                    traffic: number.map { meter.traffic(of: $0) } ?? Traffic(Count()))
            })
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
    /// What clients address; worked out once, for a range has thousands.
    let keys: [ServiceKey]

    init(_ service: Service) {
        self.service = service
        members = service.backends.map {
            SlotTable.Member(address: $0.address, weight: $0.weight)
        }
        base = SlotTable(members: members, count: 1 << 16)
        keys = service.frontend.keys
    }

    var probeTargets: [ProbeTarget] {
        service.backends.compactMap { backend in
            service.healthCheck(of: backend)
                .map { ProbeTarget(check: $0, address: backend.address) }
        }
    }
}

private func initialHealth(
    of backend: Backend, in service: Service, _ contents: PlaneContents, at moment: Date
) -> Health {
    guard service.healthCheck != nil else {
        return Health(state: .up, because: "not checked", since: moment)
    }
    guard let installed = contents.service(behind: service.frontend) else {
        return Health(state: .unknown, because: "not probed yet", since: moment)
    }
    let numbers = contents.backends
        .filter { $0.value.service == installed && $0.value.address == backend.address }.keys
    let slots = contents.services[installed]?.slots ?? []
    let hasSlots = slots.contains { owner in owner.map(numbers.contains) ?? false }
    return hasSlots
        ? Health(state: .up, because: "served before this controller started", since: moment)
        : Health(state: .unknown, because: "not probed yet", since: moment)
}
