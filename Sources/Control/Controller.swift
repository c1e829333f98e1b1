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
    let now: @Sendable () -> Date
    /// The time that the machine has run, which nobody sets.
    let uptime: @Sendable () -> Duration
    let slotCount: Int
    let interfaces: (any InterfaceKeeper)?
    private let store: (any StateStore)?
    /// Hears of all that happens.
    public nonisolated let events: EventLog
    /// All that hangs on the configuration.
    var known: Knowledge
    /// Which configuration that is, and how it came about.
    var configuration: Configuration
    /// Each configuration that is applied, for those who have to follow it.
    nonisolated let configurations = Broadcast<DesiredState>(.bufferingNewest(1))
    private var lastAnswers = LastAnswers()
    var lastResults: [ProbeTarget: Duration] = [:]
    var contents: PlaneContents
    var knownPlaces: Places?
    var clock: PhaseClock
    var tables = TableCache()
    /// Services that have had packets.
    var used: Set<ServiceID> = []
    /// Whose flows can't live, and have been forgotten.
    private(set) var lost: Set<BackendID> = []
    /// What the last sweep found, and what had happened until it began.
    var swept: (report: SweepReport, events: FlowEvents)?
    var isFrozen = false
    /// How many entries were not made for lack of room, and when that was last noticed.
    var refusedUntilNow: UInt64
    var lastPressure: Duration?
    var reachability: [IPAddress: Reachability] = [:]
    /// The last two readings of the counters; the older is what rates are reckoned from.
    var baseline: Reading?
    private var latest: Reading?
    /// How long the last plan took to carry out.
    var applyTime: Duration?
    /// Whether a change of the configuration was given up half-way, so that it has to be looked up
    /// what the plane holds; and why that is not done yet, as far as it was told.
    var isInDoubt = false
    var lastDoubt: String?
    /// Whether somebody works on the configuration, and who waits for that to end.
    var isChanging = false
    var changesWaiting: [CheckedContinuation<Void, Never>] = []

    /// Takes over what the plane holds: a backend that has slots is taken for up, and a known next
    /// hop for right, until there is news. So a restart empties no pool.
    ///
    /// - Parameters:
    ///   - configuration: Where `desired` comes from; nil: from nowhere, and it can't be changed.
    ///   - interfaces: Who has the data path on the interfaces of the configuration; nil: nobody.
    ///   - store: Where drains outlive the controller; nil: nowhere.
    ///   - slotCount: Of each service, a power of two: with another one its flows are not found.
    ///   - uptime: Goes on steadily, whatever becomes of the date.
    public init(
        _ desired: DesiredState, from configuration: Configuration? = nil, on plane: Plane,
        interfaces: (any InterfaceKeeper)? = nil, events: EventLog, store: (any StateStore)? = nil,
        slotCount: Int = 1 << 16,
        now: @escaping @Sendable () -> Date = { .now },
        uptime: @escaping @Sendable () -> Duration = steadyTime()
    ) throws {
        self.plane = plane
        self.now = now
        self.uptime = uptime
        self.slotCount = slotCount
        self.interfaces = interfaces
        self.store = store
        let moment = now()
        self.events = events
        events.enter(generation: configuration?.generation.number ?? 0)
        self.configuration = configuration ?? Configuration()
        let contents = try plane.contents()
        self.contents = contents
        clock = PhaseClock(contents, at: uptime())
        let counts = try plane.flowEvents()
        refusedUntilNow = counts.refused + counts.frozen
        var tables = TableCache()
        known = Knowledge(
            desired, slotCount: slotCount, in: contents, after: try store?.load() ?? State(),
            at: moment, &tables)
        for backend in contents.backends.values {
            if let nextHop = backend.nextHop { reachability[backend.address] = .reachable(nextHop) }
        }
    }

    /// The same, with nobody but a log to hear of what happens.
    public init(
        _ desired: DesiredState, from configuration: Configuration? = nil, on plane: Plane,
        logger: Logger, store: (any StateStore)? = nil, slotCount: Int = 1 << 16,
        now: @escaping @Sendable () -> Date = { .now },
        uptime: @escaping @Sendable () -> Duration = steadyTime()
    ) throws {
        try self.init(
            desired, from: configuration, on: plane, events: EventLog(logger: logger, now: now),
            store: store, slotCount: slotCount, now: now, uptime: uptime)
    }

    var services: [WatchedService] { known.services }

    /// Reads the counters now, for the rates that are told later; to be called every second.
    public func read() throws {
        let reading = try Reading(taken: now(), counters: plane.counters())
        (baseline, latest) = (latest, reading)
    }

    /// What has to be probed.
    public var probeTargets: Set<ProbeTarget> {
        Set(known.probed.keys)
    }

    /// Whose next hops have to be known.
    public var addresses: Set<IPAddress> {
        Set(services.flatMap { $0.backends.map(\.address) })
    }

    /// Brings the plane to the desired state, and removes from it what is not desired.
    public func start() throws {
        try save()
        for drain in known.drains.values.sorted(by: { $0.reference < $1.reference }) {
            if drain.isForLeaving {
                tellLeaving(drain)
            } else {
                let text = "\(drain.reference) drains, as it was ordered to before"
                tell(.notice, .drain, text, drain.reference)
            }
        }
        // A controller before this one may have frozen it, when there was less room.
        try plane.freeze(false)
        try bringUpToDate()
        try setLatencies()
    }

    /// Has the plane hold what is known to be desired, and nothing else.
    func bringUpToDate() throws {
        defer { tables.forget() }
        let targets = services.indices.map(target)
        try apply(Plan(from: contents, to: targets, others: .removed, pool: wantedPool()))
        try forget(lostBackends(of: Array(zip(services.indices, targets))))
        known.unsettled = []
        known.refusals = [:]
    }

    func tellLeaving(_ drain: Drain) {
        tell(
            .notice, .drain,
            "\(drain.reference) is not in the configuration any more: it drains", drain.reference)
    }

    func wantedPool() throws -> Plan.Pool { try wantedPool(of: known.desired) }

    func wantedPool(of desired: DesiredState) throws -> Plan.Pool {
        let natAddresses = desired.natAddresses
        let inQuestion = contents.pool.inQuestion(wanting: natAddresses)
        return Plan.Pool(addresses: natAddresses, use: try plane.natUse(at: inQuestion))
    }

    /// Forgets where flows of `full-nat` were before the NAT addresses changed, as far as none of
    /// them is open there; to be called every minute.
    public func tidyPool() throws {
        guard !contents.pool.inQuestion(wanting: known.desired.natAddresses).isEmpty else { return }
        try apply(Plan(from: contents, to: [], others: .kept, pool: wantedPool()))
    }

    /// Has answers leave by these interfaces and no others, but for those that the kernel sends.
    public func take(exits: [UInt32: Egress]) {
        do {
            try apply(Plan(from: contents, toExits: exits))
        } catch {
            trouble("answers may not leave by the way that they should: \(error)")
        }
    }

    /// Takes a probe's result into account.
    public func take(_ result: ProbeResult, of target: ProbeTarget) {
        var news: [(BackendReference, Health.Transition)] = []
        let othersAnswer = othersAnswer(than: target)
        if result.isAnswered { lastAnswers.note(target.address, at: uptime()) }
        for probed in known.probed[target] ?? [] {
            let watched = services[probed.service]
            // One that was leaving may have left.
            guard let backend = watched.backend(probed) else { continue }
            let reference = watched.reference(to: backend)
            let wasSilent = known.health[reference]?.isSilent
            let transition = known.health[reference]?.take(
                result, at: now(), rise: target.check.rise, fall: target.check.fall,
                othersAnswer: othersAnswer)
            if transition != nil || known.health[reference]?.isSilent != wasSilent {
                known.unsettled.insert(probed.service)
            }
            if result.isSuccess, !watched.isLeaving(probed.place) {
                setLatency(ofBackendAt: probed.place, probed.service)
            }
            if let transition { news.append((reference, transition)) }
        }
        // First the change, then the word: who reads it may rely on it.
        settle()
        for (reference, transition) in news {
            tell(
                level(of: transition, reference), .health,
                "\(reference) is \(transition.to.rawValue): \(transition.cause)", reference,
                metadata: ["from": "\(transition.from.rawValue)"])
        }
    }

    /// Who is being worked on may well be down.
    private func level(
        of transition: Health.Transition, _ reference: BackendReference
    ) -> Logger.Level {
        if known.maintenances[reference] != nil { return .info }
        return transition.to == .down ? .warning : .notice
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
            for reference in references(to: address) { tell(state, of: address, reference) }
        }
        for (index, watched) in services.enumerated()
        where watched.backends.contains(where: { changed[$0.address] != nil }) {
            known.unsettled.insert(index)
        }
        settle()
    }

    /// Every backend that has the address.
    private func references(to address: IPAddress) -> [BackendReference] {
        services.flatMap { watched in
            watched.backends.filter { $0.address == address }.map(watched.reference)
        }
    }

    private func tell(
        _ state: Reachability, of address: IPAddress, _ reference: BackendReference
    ) {
        switch state {
        case .reachable(let hop):
            let limit = hop.routeMTU.map { ", with \($0) bytes at most" } ?? ""
            tell(
                .info, .reachability,
                "\(reference): \(address) is reached over \(hop.egress.name) by "
                    + "\(hop.neighbour)\(limit)", reference)
        case .unreachable(let reason):
            tell(
                .warning, .reachability, "\(reference): \(address) is unreachable: \(reason)",
                reference)
        }
    }

    /// Brings the plane up to date with all news, and with what time has brought. What it refuses
    /// waits for the next call; to be called every second.
    public func settle() {
        takeTime()
        // Probes come by the thousand, and most bring no news.
        guard !known.unsettled.isEmpty else { return }
        defer { tables.forget() }
        let indices = known.unsettled.sorted()
        let targets = indices.map(target)
        do {
            // All at once: a backend that many services share is planned for in one go.
            try apply(Plan(from: contents, to: targets, others: .kept))
            for index in indices { settled(index) }
        } catch {
            for (index, target) in zip(indices, targets) { settle(index, by: target) }
        }
        // Slots that could not be written may still name them.
        let done = zip(indices, targets).filter { !known.unsettled.contains($0.0) }
        do { try forget(lostBackends(of: done)) } catch {
            trouble("flows of dead backends are not forgotten yet: \(error)")
            known.unsettled.formUnion(done.map(\.0))
        }
    }

    /// What is another one now though nothing was heard.
    private func takeTime() {
        let moment = now()
        guard known.nextChange <= moment else { return }
        known.nextChange = .distantFuture
        for (index, membership) in known.memberships {
            guard let next = membership.nextChange else { continue }
            if next <= moment {
                known.unsettled.insert(index)
            } else {
                known.nextChange = min(known.nextChange, next)
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
            guard known.refusals.updateValue(reason, forKey: index) != reason else { return }
            let name = services[index].service.name
            tell(.error, .refusal, "\(name) is not up to date: \(reason)", of: name)
        }
    }

    private func settled(_ index: Int) {
        known.unsettled.remove(index)
        if known.refusals.removeValue(forKey: index) != nil {
            let name = services[index].service.name
            tell(.notice, .refusal, "\(name) is up to date again", of: name)
        }
    }

    func apply(_ plan: Plan) throws {
        guard !plan.steps.isEmpty else { return }
        let start = uptime()
        try apply(plan.steps)
        applyTime = uptime() - start
    }

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
        let places = Places(known.services, in: contents)
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

    func health(of backend: BackendReference) -> Health? { known.health[backend] }

    private func target(_ index: Int) -> Target {
        let watched = services[index]
        let membership = membership(of: index)
        known.nextChange = min(known.nextChange, membership.nextChange ?? .distantFuture)
        tell(membership, instead: known.memberships.updateValue(membership, forKey: index), index)
        return target(
            watched, membership,
            nextHops: watched.backends.map { backend in
                guard case .reachable(let hop) = reachability[backend.address] else { return nil }
                return hop
            }, drains: known.drains)
    }

    /// - Parameter drains: Those that count for it.
    func target(
        _ watched: WatchedService, _ membership: Membership, nextHops: [NextHop?],
        drains: [BackendReference: Drain]
    ) -> Target {
        let cut = watched.backends.map { drains[watched.reference(to: $0)]?.cut != nil }
        return watched.target(membership, isCut: cut, nextHops: nextHops, &tables)
    }

    private func membership(of index: Int) -> Membership {
        let (watched, moment) = (services[index], now())
        return Membership(of: watched.service, conditions(of: watched, at: moment), at: moment)
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
        let health = known.health[reference]
        var hasNextHop = false
        if case .reachable = reachability[backend.address] { hasNextHop = true }
        var condition = Membership.Condition(
            backend, health: health?.state ?? .unknown, isSilent: health?.isSilent ?? false,
            hasNextHop: hasNextHop, administration: known.administration(of: reference),
            isLeaving: isLeaving)
        let serves =
            condition.health == .up && hasNextHop && condition.administration == .none
        if !serves { known.serving[reference] = nil }
        if serves && known.serving[reference] == nil { known.serving[reference] = moment }
        condition.servesSince = known.serving[reference]
        return condition
    }

    /// What people are to be woken for.
    private func tell(_ membership: Membership, instead earlier: Membership?, _ index: Int) {
        let name = services[index].service.name
        if membership.isPanicking, earlier?.isPanicking != true {
            tell(
                .critical, .panic,
                "\(name) panics: too few backends are up, so their health is ignored", of: name)
        }
        if !membership.isPanicking, earlier?.isPanicking == true {
            tell(.notice, .panic, "\(name) panics no more: enough backends are up", of: name)
        }
        if membership.usesLeavers, earlier?.usesLeavers != true {
            tell(
                .warning, .backup,
                "\(name): backends that leave it keep new flows, for no other can serve", of: name)
        }
        if !membership.usesLeavers, earlier?.usesLeavers == true {
            tell(.notice, .backup, "\(name): new flows go to backends that leave no more", of: name)
        }
        if membership.usesBackup, earlier?.usesBackup != true {
            tell(
                .warning, .backup,
                "\(name): new flows go to the backup, for no other backend can serve", of: name)
        }
        if !membership.usesBackup, earlier?.usesBackup == true {
            tell(.notice, .backup, "\(name): new flows go to the backup no more", of: name)
        }
    }

    /// Saves what is to outlive the controller.
    func save() throws {
        try store?.save(
            State(
                drains: known.drains.values.sorted { $0.reference < $1.reference },
                known: services.flatMap(\.known),
                maintenances: known.maintenances.values.sorted { $0.reference < $1.reference },
                services: known.names))
    }
}

extension Controller {
    func tell(
        _ level: Logger.Level, _ kind: Event.Kind, _ text: String,
        _ backend: BackendReference? = nil, of service: String? = nil,
        metadata: Logger.Metadata = [:]
    ) {
        events.tell(level, kind, text, about: backend, of: service, metadata: metadata)
    }

    func trouble(_ text: String, _ backend: BackendReference? = nil) {
        events.log(trouble: text, about: backend)
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

/// The time that has passed from now on, as the machine ran and was not asleep.
public func steadyTime() -> @Sendable () -> Duration {
    let clock = SuspendingClock()
    let start = clock.now
    return { clock.now - start }
}
