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
    let plane: Plane
    let logger: Logger
    let now: @Sendable () -> Date
    /// The time that the machine has run, which nobody sets.
    let uptime: @Sendable () -> Duration
    private let natAddresses: [IPAddress]
    private let store: (any StateStore)?
    var services: [WatchedService]
    /// Of the services, by their names.
    let indices: [String: Int]
    /// For whom the results of a probe are.
    private let probed: [ProbeTarget: [ProbedBackend]]
    private var lastAnswers = LastAnswers()
    private var lastResults: [ProbeTarget: Duration] = [:]
    let hasNATFlows: Bool
    var contents: PlaneContents
    private var knownPlaces: Places?
    var clock: PhaseClock
    /// Backends that leave among them.
    var drains: [BackendReference: Drain] = [:]
    var progress: [BackendReference: DrainProgress] = [:]
    /// Since when backends could have had new flows without a break.
    private var serving: [BackendReference: Date] = [:]
    private var tables = TableCache()
    /// Services that have had packets.
    var used: Set<ServiceID> = []
    /// By the index of the service what was made of its backends last.
    var memberships: [Int: Membership] = [:]
    /// Whose flows can't live, and have been forgotten.
    private(set) var lost: Set<BackendID> = []
    /// What the last sweep found, and what had happened until it began.
    var swept: (report: SweepReport, events: FlowEvents)?
    var isFrozen = false
    /// How many entries were not made for lack of room, and when that was last noticed.
    var refusedUntilNow: UInt64
    var lastPressure: Duration?
    private var reachability: [IPAddress: Reachability] = [:]
    private var health: [BackendReference: Health] = [:]
    /// Indices of the services whose targets may differ from what the plane holds.
    var unsettled: Set<Int> = []
    /// When the first of the services will be one of these for its ``Membership/nextChange``.
    private var nextChange = Date.distantFuture
    /// Why the last attempt to settle them was refused, so that each refusal is told once.
    private var refusals: [Int: String] = [:]
    /// The last two readings of the counters; the older is what rates are reckoned from.
    private var baseline: Reading?
    private var latest: Reading?

    /// Takes over what the plane holds: a backend that has slots is taken for up, and a known next
    /// hop for right, until there is news. So a restart empties no pool.
    ///
    /// - Parameters:
    ///   - store: Where drains outlive the controller; nil: nowhere.
    ///   - slotCount: Of each service, a power of two: with another one its flows are not found.
    ///   - uptime: Goes on steadily, whatever becomes of the date.
    public init(
        _ desired: DesiredState, on plane: Plane, logger: Logger,
        store: (any StateStore)? = nil, slotCount: Int = 1 << 16,
        now: @escaping @Sendable () -> Date = { .now },
        uptime: @escaping @Sendable () -> Duration = steadyTime()
    ) throws {
        self.plane = plane
        self.logger = logger
        self.now = now
        self.uptime = uptime
        self.store = store
        let contents = try plane.contents()
        let state = try store?.load() ?? State()
        self.contents = contents
        clock = PhaseClock(contents, at: uptime())
        let events = try plane.flowEvents()
        refusedUntilNow = events.refused + events.frozen
        var tables = TableCache()
        let services = desired.services.map {
            WatchedService(
                $0, slotCount: slotCount, in: contents, names: state.known, &tables)
        }
        self.services = services
        indices = Dictionary(
            services.enumerated().map { ($1.service.name, $0) }, uniquingKeysWith: { $1 })
        probed = probedBackends(of: services)
        hasNATFlows = services.contains { $0.service.forwarding == .fullNAT }
        natAddresses = desired.natAddresses
        for backend in contents.backends.values {
            if let nextHop = backend.nextHop { reachability[backend.address] = .reachable(nextHop) }
        }
        for watched in services {
            for backend in watched.service.backends {
                let reference = watched.reference(to: backend)
                let known = initialHealth(of: backend, in: watched, contents, at: now())
                health[reference] = known
                // It may have served for long; who has just begun would start slowly.
                if known.state == .up { serving[reference] = .distantPast }
            }
            for leaver in watched.leavers {
                health[watched.reference(to: leaver)] = Health(
                    state: .up, because: "not in the configuration any more", since: now())
            }
            for drain in watched.drains(after: state.drains, at: now()) {
                drains[drain.reference] = drain
            }
        }
    }

    /// What has to be probed.
    public var probeTargets: Set<ProbeTarget> {
        Set(probed.keys)
    }

    /// Whose next hops have to be known.
    public var addresses: Set<IPAddress> {
        Set(services.flatMap { $0.backends.map(\.address) })
    }

    /// Brings the plane to the desired state, and removes from it what is not desired.
    public func start() throws {
        try save()
        for drain in drains.values.sorted(by: { $0.reference < $1.reference }) {
            logger.notice(
                drain.isForLeaving
                    ? "\(drain.reference) is not in the configuration any more: it drains"
                    : "\(drain.reference) drains, as it was ordered to before")
        }
        // A controller before this one may have frozen it, when there was less room.
        try plane.freeze(false)
        defer { tables.forget() }
        let targets = services.indices.map(target)
        try apply(Plan(from: contents, to: targets, others: .removed, pool: wantedPool()))
        try forget(lostBackends(of: Array(zip(services.indices, targets))))
        try setLatencies()
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
        let othersAnswer = othersAnswer(than: target)
        if result.isAnswered { lastAnswers.note(target.address, at: uptime()) }
        for probed in probed[target] ?? [] {
            let watched = services[probed.service]
            // One that was leaving may have left.
            guard let backend = watched.backend(probed) else { continue }
            let reference = watched.reference(to: backend)
            let wasSilent = health[reference]?.isSilent
            let transition = health[reference]?.take(
                result, at: now(), rise: target.check.rise, fall: target.check.fall,
                othersAnswer: othersAnswer)
            if transition != nil || health[reference]?.isSilent != wasSilent {
                unsettled.insert(probed.service)
            }
            if result.isSuccess, !watched.isLeaving(probed.place) {
                setLatency(ofBackendAt: probed.place, probed.service)
            }
            if let transition { news.append((reference, transition)) }
        }
        // First the change, then the word: who reads it may rely on it.
        settle()
        for (reference, transition) in news {
            logger.notice(
                "\(reference) is \(transition.to.rawValue): \(transition.cause)",
                metadata: ["from": "\(transition.from.rawValue)"])
        }
    }

    /// Whether any other host has answered since this one was asked before.
    private func othersAnswer(than target: ProbeTarget) -> Bool {
        guard let before = lastResults.updateValue(uptime(), forKey: target) else { return false }
        return lastAnswers.hasOther(than: target.address, since: before)
    }

    /// Takes what is now known of the ways into account; what is not named stays as it was.
    public func take(_ news: [IPAddress: Reachability]) {
        let changed = news.filter { reachability[$0.key] != $0.value }
        guard !changed.isEmpty else { return settle() }
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
        where watched.backends.contains(where: { changed[$0.address] != nil }) {
            unsettled.insert(index)
        }
        settle()
    }

    /// Brings the plane up to date with all news, and with what time has brought. What it refuses
    /// waits for the next call; to be called every second.
    public func settle() {
        takeTime()
        // Probes come by the thousand, and most bring no news.
        guard !unsettled.isEmpty else { return }
        defer { tables.forget() }
        let indices = unsettled.sorted()
        let targets = indices.map(target)
        do {
            // All at once: a backend that many services share is planned for in one go.
            try apply(Plan(from: contents, to: targets, others: .kept))
            for index in indices { settled(index) }
        } catch {
            for (index, target) in zip(indices, targets) { settle(index, by: target) }
        }
        // Slots that could not be written may still name them.
        let done = zip(indices, targets).filter { !unsettled.contains($0.0) }
        do { try forget(lostBackends(of: done)) } catch {
            logger.error("flows of dead backends are not forgotten yet: \(error)")
            unsettled.formUnion(done.map(\.0))
        }
    }

    /// What is another one now though nothing was heard.
    private func takeTime() {
        let moment = now()
        guard nextChange <= moment else { return }
        nextChange = .distantFuture
        for (index, membership) in memberships {
            guard let next = membership.nextChange else { continue }
            if next <= moment {
                unsettled.insert(index)
            } else {
                nextChange = min(nextChange, next)
            }
        }
    }

    /// One service alone: what is refused of another does not keep it back.
    private func settle(_ index: Int, by target: Target) {
        do {
            try apply(Plan(from: contents, to: [target], others: .kept))
            settled(index)
        } catch {
            let reason = "\(error)"
            guard refusals.updateValue(reason, forKey: index) != reason else { return }
            logger.error("\(services[index].service.name) is not up to date: \(reason)")
        }
    }

    private func settled(_ index: Int) {
        unsettled.remove(index)
        if refusals.removeValue(forKey: index) != nil {
            logger.notice("\(services[index].service.name) is up to date again")
        }
    }

    func apply(_ plan: Plan) throws { try apply(plan.steps) }

    func apply(_ steps: [Step]) throws {
        for step in steps {
            try plane.apply(step)
            contents.apply(step)
            if case .removeSlots(let id) = step { used.remove(id) }
            clock.note(step, at: uptime())
            if step.movesPlaces { knownPlaces = nil }
        }
    }

    /// Where the plane has what the configuration names.
    var places: Places {
        if let knownPlaces { return knownPlaces }
        let places = Places(services, in: contents)
        knownPlaces = places
        return places
    }

    /// Has flows of these backends that have just been lost begin anew: at once, not at the next
    /// sweep, and for all services together, for it takes as long as one does.
    private func forget(_ backends: (lost: Set<BackendID>, others: Set<BackendID>)) throws {
        let news = backends.lost.subtracting(lost)
        if !news.isEmpty { try apply([.forgetFlows(of: news)]) }
        lost = lost.subtracting(backends.others).union(news).filter {
            contents.backends[$0] != nil
        }
    }

    private func lostBackends(
        of targets: [(index: Int, target: Target)]
    ) -> (lost: Set<BackendID>, others: Set<BackendID>) {
        var (gone, others) = (Set<BackendID>(), Set<BackendID>())
        for (index, target) in targets {
            let numbers = places.backends(of: index)
            for backend in target.backends {
                guard let number = numbers[backend.address] else { continue }
                if backend.isLost { gone.insert(number) } else { others.insert(number) }
            }
        }
        return (gone, others)
    }

    func health(of backend: BackendReference) -> Health? { health[backend] }

    private func target(_ index: Int) -> Target {
        let (watched, moment) = (services[index], now())
        let membership = Membership(
            of: watched.service, conditions(of: watched, at: moment), at: moment)
        nextChange = min(nextChange, membership.nextChange ?? .distantFuture)
        tell(membership, instead: memberships.updateValue(membership, forKey: index), index)
        let cut = watched.backends.map { drains[watched.reference(to: $0)]?.cut != nil }
        return watched.target(
            membership, isCut: cut,
            nextHops: watched.backends.map { backend in
                guard case .reachable(let hop) = reachability[backend.address] else { return nil }
                return hop
            }, &tables)
    }

    func conditions(
        of watched: WatchedService, at moment: Date
    ) -> [Membership.Condition] {
        watched.backends.enumerated().map { place, backend in
            condition(
                of: backend, watched.reference(to: backend),
                isLeaving: watched.isLeaving(place), at: moment)
        }
    }

    private func condition(
        of backend: Backend, _ reference: BackendReference, isLeaving: Bool, at moment: Date
    ) -> Membership.Condition {
        let known = health[reference]
        var hasNextHop = false
        if case .reachable = reachability[backend.address] { hasNextHop = true }
        var condition = Membership.Condition(
            backend, health: known?.state ?? .unknown,
            isSilent: known?.isSilent ?? false, hasNextHop: hasNextHop,
            administration: drains[reference] == nil ? .none : .draining, isLeaving: isLeaving)
        let serves = condition.health == .up && hasNextHop && drains[reference] == nil
        if !serves { serving[reference] = nil }
        if serves && serving[reference] == nil { serving[reference] = moment }
        condition.servesSince = serving[reference]
        return condition
    }

    /// What people are to be woken for.
    private func tell(_ membership: Membership, instead earlier: Membership?, _ index: Int) {
        let name = services[index].service.name
        if membership.isPanicking, earlier?.isPanicking != true {
            logger.critical(
                "\(name) panics: too few backends are up, so their health is ignored")
        }
        if !membership.isPanicking, earlier?.isPanicking == true {
            logger.notice("\(name) panics no more: enough backends are up")
        }
        if membership.usesBackup, earlier?.usesBackup != true {
            logger.warning("\(name): new flows go to the backup, for no other backend can serve")
        }
        if !membership.usesBackup, earlier?.usesBackup == true {
            logger.notice("\(name): new flows go to the backup no more")
        }
    }

    /// Saves what is to outlive the controller.
    func save() throws {
        try store?.save(
            State(
                drains: drains.values.sorted { $0.reference < $1.reference },
                known: services.flatMap(\.known)))
    }

    private func setLatency(ofBackendAt place: Int, _ index: Int) {
        let service = services[index].service
        let backend = service.backends[place]
        // Where it is always the same, it was told at the start.
        guard service.scheduler == .responseTime, let latency = latency(of: backend, in: service),
            let number = places.backend(backend.address, of: index)
        else { return }
        do {
            try plane.setLatency([number: latency])
        } catch {
            logger.error("\(service.name)/\(backend.name): its latency is not told: \(error)")
        }
    }

    /// What costs are reckoned with, where the schedulers do so.
    private func setLatencies() throws {
        var latencies: [BackendID: UInt32] = [:]
        for (index, watched) in services.enumerated() {
            for backend in watched.service.backends {
                guard let latency = latency(of: backend, in: watched.service),
                    let number = places.backend(backend.address, of: index)
                else { continue }
                latencies[number] = latency
            }
        }
        if !latencies.isEmpty { try plane.setLatency(latencies) }
    }

    /// Nil: there is nothing to say, or the plane measures it.
    private func latency(of backend: Backend, in service: Service) -> UInt32? {
        switch service.scheduler {
        case .leastConnections: 1
        case .responseTime where !service.selection.timesAnswers:
            health[BackendReference(service.name, backend.name)]?.latency
        case .maglev, .roundRobin, .responseTime: nil
        }
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
        let loads = try plane.loads()
        return Status(
            taken: reading.taken, interval: meter.interval, interfaces: interfaces,
            services: services.indices.map { status(of: $0, loads, meter, at: reading.taken) },
            flowTable: Status.FlowTable(
                entries: swept?.report.entries ?? 0, capacity: swept?.report.capacity ?? 0,
                events: try plane.flowEvents(), isFrozen: isFrozen))
    }

    /// What was counted until now.
    public func counters() throws -> CountersReport {
        let reading = try Reading(taken: now(), counters: plane.counters())
        let names = places.indices.mapValues { Names(services[$0]) }
        return CountersReport(Meter(reading, since: baseline), of: contents, names: names)
    }

    private func status(
        of index: Int, _ loads: [BackendID: MeasuredLoad], _ meter: Meter, at moment: Date
    ) -> Status.Service {
        let (watched, membership) = (services[index], memberships[index])
        let (id, numbers) = (places.services[index], places.backends(of: index))
        let slots = id.flatMap { contents.services[$0]?.slots } ?? []
        let census = SlotCensus(slots)
        var service = Status.Service(
            watched.service, census, membership: membership,
            traffic: id.map { meter.traffic(of: $0) } ?? Traffic(Count()),
            backends: watched.backends.enumerated().map { place, backend in
                let number = numbers[backend.address]
                let share = number.map { census.owned(by: $0) } ?? 0
                let readiness = membership?.standings[place].readiness ?? 0
                var told = Status.Backend(
                    name: backend.name, address: "\(backend.address)", port: backend.port,
                    weight: backend.weight, health: condition(of: backend, in: watched, at: moment),
                    way: Status.Way(reachability[backend.address]), slots: share,
                    share: slots.isEmpty ? 0 : Double(share) / Double(slots.count),
                    readiness: Double(readiness) / Double(Membership.fully),
                    maxConnections: backend.maxConnections, isBackup: backend.isBackup,
                    isLeaving: watched.isLeaving(place),
                    drain: drainStatus(of: watched.reference(to: backend), number, census),
                    traffic: number.map { meter.traffic(of: $0) } ?? Traffic(Count()))
                let load = number.flatMap { loads[$0] }
                if watched.recordsFlows { told.flows = load.map { Int($0.flows) } }
                told.latency = latency(of: backend, in: watched, load)
                return told
            })
        service.refusal = refusals[index]
        return service
    }

    private func condition(
        of backend: Backend, in watched: WatchedService, at moment: Date
    ) -> Status.Condition {
        let known = health[watched.reference(to: backend)]
        return Status.Condition(
            state: known?.state ?? .unknown, reason: known?.finding ?? "not probed yet",
            since: known?.since ?? moment)
    }

    private func latency(
        of backend: Backend, in watched: WatchedService, _ load: MeasuredLoad?
    ) -> UInt32? {
        watched.service.selection.timesAnswers
            ? load?.latency : health[watched.reference(to: backend)]?.latency
    }

    private func drainStatus(
        of reference: BackendReference, _ number: BackendID?, _ census: SlotCensus
    ) -> Status.Drain? {
        guard let drain = drains[reference] else { return nil }
        let seen = progress[reference]
        let isNamed = number.map(census.names) ?? false
        return Status.Drain(
            since: drain.since, deadline: drain.deadline, cut: drain.cut, flowsLeft: seen?.left,
            secondsLeft: seen?.estimate,
            isOver: drain.cut != nil || number == nil || !isNamed && seen?.isEmpty == true)
    }
}

/// A backend by the names that people use: `web/server-a`.
public struct BackendReference: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let service: String
    public let backend: String

    public init(_ service: String, _ backend: String) {
        self.service = service
        self.backend = backend
    }

    public var description: String { "\(service)/\(backend)" }

    public static func < (left: Self, right: Self) -> Bool {
        (left.service, left.backend) < (right.service, right.backend)
    }
}

private func initialHealth(
    of backend: Backend, in watched: WatchedService, _ contents: PlaneContents, at moment: Date
) -> Health {
    guard watched.service.healthCheck != nil else {
        return Health(state: .up, because: "not checked", since: moment)
    }
    guard let installed = contents.service(withMostOf: watched.keys) else {
        return Health(state: .unknown, because: "not probed yet", since: moment)
    }
    let numbers = contents.backends
        .filter { $0.value.service == installed && $0.value.address == backend.address }.keys
    let slots = contents.services[installed]?.slots ?? []
    let hasSlots = slots.contains { slot in slot.owner.map(numbers.contains) ?? false }
    return hasSlots
        ? Health(state: .up, because: "served before this controller started", since: moment)
        : Health(state: .unknown, because: "not probed yet", since: moment)
}

/// For whom the result of a probe is.
struct ProbedBackend {
    /// As indices, of one that leaves after those of the configuration.
    let service: Int
    let place: Int
    /// Leavers change places when others have left.
    let address: IPAddress
}

private func probedBackends(
    of services: [WatchedService]
) -> [ProbeTarget: [ProbedBackend]] {
    var probed: [ProbeTarget: [ProbedBackend]] = [:]
    for (index, watched) in services.enumerated() {
        for (place, backend) in watched.backends.enumerated() {
            guard let target = watched.probeTarget(of: backend) else { continue }
            probed[target, default: []].append(
                ProbedBackend(service: index, place: place, address: backend.address))
        }
    }
    return probed
}

/// The time that has passed from now on, as the machine ran and was not asleep.
public func steadyTime() -> @Sendable () -> Duration {
    let clock = SuspendingClock()
    let start = clock.now
    return { clock.now - start }
}
