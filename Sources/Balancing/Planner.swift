import Packets

/// Works out a ``Plan``: keeps what the plane would hold after the steps so far.
struct Planner {
    var contents: PlaneContents
    private let targets: [Target]
    let others: Plan.Others
    let pool: Plan.Pool?
    let capacity: Plan.Capacity
    private var steps: [Step] = []
    /// For each target the service that it takes over, or becomes.
    private(set) var claims: [ServiceID?]
    let wanted: Set<ServiceKey>
    let wantedReturns: [ReturnKey: ServiceKey]
    /// The records of each target's service that are its backends'.
    private var members: [ServiceID: Set<BackendID>] = [:]
    /// The records that each service had at first, if it was not removed since.
    private var records: [ServiceID: [BackendID: PlaneContents.Backend]]
    /// Services that packets can find, or that a target takes over.
    private var inUse: Set<ServiceID> = []
    /// Services of which every flow had an entry at first.
    private let tracking: Set<ServiceID>
    /// By the number of a backend, whether it is one of a target's and its flows can live.
    private var lives: [Bool]
    /// Numbers up to these are taken.
    private var lastService: UInt32 = 0
    private var lastBackend: UInt16 = 0

    init(
        _ contents: PlaneContents, _ targets: [Target], _ others: Plan.Others,
        _ pool: Plan.Pool?, _ capacity: Plan.Capacity
    ) {
        self.contents = contents
        self.targets = targets
        self.others = others
        self.pool = pool
        self.capacity = capacity
        claims = takenOver(by: targets, contents)
        wanted = Set(targets.lazy.flatMap(\.keys))
        wantedReturns = wantedAnswers(of: targets)
        records = contents.backends.reduce(into: [:]) { records, backend in
            records[backend.value.service, default: [:]][backend.key] = backend.value
        }
        tracking = Set(contents.keys.values.lazy.filter(\.selection.tracks).map(\.service))
        let last = contents.backends.keys.max()?.number ?? 0
        lives = Array(repeating: false, count: Int(max(capacity.backends, last + 1)))
    }

    func steps(makingRoomFirst: Bool) throws(Plan.Exhausted) -> [Step] {
        var planner = self
        try planner.plan(makingRoomFirst: makingRoomFirst)
        return planner.steps
    }

    private mutating func plan(makingRoomFirst: Bool) throws(Plan.Exhausted) {
        if makingRoomFirst {
            try removeUnwanted()
            try makeRoomForReturns()
            try makeRoomInPool()
        }
        inUse = Set(contents.keys.values.map(\.service)).union(claims.compactMap(\.self))
        try fillPool()
        let builds = try targets.indices.map { index throws(Plan.Exhausted) in
            try prepare(targets[index], index)
        }
        try settle(builds.filter { $0.isNew && $0.borrowed.isEmpty })
        try settle(builds.filter { !$0.isNew || !$0.borrowed.isEmpty })
        try setVIPs()
        try removeUnwanted()
        try tidy()
        try removeReturns()
        try emptyPool()
    }

    mutating func add(_ step: Step) throws(Plan.Exhausted) {
        contents.apply(step)
        steps.append(step)
        try checkCapacity(after: step)
    }

    private func checkCapacity(after step: Step) throws(Plan.Exhausted) {
        switch step {
        case .setKeys:
            let v4 = contents.keys.keys.lazy.filter { $0.vip.family == .v4 }.count
            let most = max(v4, contents.keys.count - v4)
            try check(most, "ports of VIPs of one family", capacity.keys)
        case .setVIPs: try check(contents.vips.count, "VIPs", capacity.vips)
        case .writeAccess:
            let rules = contents.services.values.reduce(0) { $0 + $1.rules.count }
            try check(rules, "prefixes in access lists", capacity.rules)
        case .setReturns: try check(contents.returns.count, "ports of backends", capacity.returns)
        default: break
        }
    }

    private func check(
        _ count: Int, _ things: String, _ limit: Int
    ) throws(Plan.Exhausted) {
        guard count > limit else { return }
        throw Plan.Exhausted(
            description: "cannot hold \(count) \(things): the data plane holds at most \(limit)")
    }
}

// MARK: - What is new

extension Planner {
    /// A target on its way to be what packets for it will need.
    private struct Build {
        let target: Target
        let service: ServiceID
        /// Whether nothing has led to it before.
        let isNew: Bool
        /// Of its backends, in their order.
        let numbers: [BackendID]
        /// Those that lose their next hop, when they own no slot any more.
        let losses: [BackendID]
        /// Backends, as indices, whose answers are made another VIP's or port's until now.
        let borrowed: Set<Int>
    }

    /// Records and tables, and answers that are nobody's yet.
    private mutating func prepare(
        _ target: Target, _ index: Int
    ) throws(Plan.Exhausted) -> Build {
        let id: ServiceID
        let isNew = claims[index] == nil
        if let claimed = claims[index] {
            id = claimed
        } else {
            id = try freeService(for: target)
            claims[index] = id
        }
        let (numbers, losses) = try addBackends(of: target, to: id)
        members[id] = Set(numbers)
        if contents.services[id] == nil { try add(.addSlots(id, count: target.slots.count)) }
        let borrowed = Set(
            target.backends.indices.filter { isAnotherOnes(target.backends[$0], target) })
        try setReturns(of: target.backends.indices.filter { !borrowed.contains($0) }, target)
        return Build(
            target: target, service: id, isNew: isNew, numbers: numbers, losses: losses,
            borrowed: borrowed)
    }

    /// Fills the tables and lets packets find them.
    ///
    /// Those that are new come first: the keys that another service loses to them still lead to
    /// that one's former backends then, which know these keys.
    private mutating func settle(_ builds: [Build]) throws(Plan.Exhausted) {
        for build in builds {
            try setTurns(of: build) { $0 < $1 }
            try writeSlots(of: build, without: build.borrowed)
        }
        for build in builds where !build.borrowed.isEmpty {
            // Nobody else's slots name them now.
            let borrowed = build.borrowed.sorted()
            let gone = borrowed.flatMap { answers(of: build.target.backends[$0], build.target) }
                .flatMap(strangers)
            try setReturns(of: borrowed, build.target)
            if !gone.isEmpty { try add(.removeReturns(gone)) }
            try writeSlots(of: build, without: [])
        }
        for build in builds { try finish(build) }
        for build in builds { try open(build) }
    }

    /// Whether answers of the backend are made another VIP's or port's.
    private func isAnotherOnes(_ backend: Target.Backend, _ target: Target) -> Bool {
        answers(of: backend, target).contains { wanted in
            if let held = contents.returns[wanted.from] { return held != wanted.to }
            // A port is looked for before any port: it would take the answers away from that one.
            var any = wanted.from
            any.port = nil
            guard let held = contents.returns[any] else { return !strangers(to: wanted).isEmpty }
            return held.vip != wanted.to.vip || wanted.from.port != wanted.to.port
        }
    }

    /// For any port: those that would keep some of its answers, and that nobody wants any more.
    private func strangers(to wanted: Return) -> [ReturnKey] {
        guard wanted.from.port == nil, others == .removed else { return [] }
        return contents.returns.filter { key, value in
            key.backend == wanted.from.backend && key.transport == wanted.from.transport
                && wantedReturns[key] == nil && value.vip != wanted.to.vip
        }.keys.sorted()
    }

    private mutating func setReturns(
        of backends: [Int], _ target: Target
    ) throws(Plan.Exhausted) {
        let changed = backends.flatMap { answers(of: target.backends[$0], target) }
            .filter { contents.returns[$0.from] != $0.to }
        if !changed.isEmpty { try add(.setReturns(changed)) }
    }

    /// All slots, as far as none of `excluded` gets them.
    private mutating func writeSlots(
        of build: Build, without excluded: Set<Int>
    ) throws(Plan.Exhausted) {
        guard let present = contents.services[build.service]?.slots else { return }
        let looks = tracking.contains(build.service) && !build.target.selection.tracks
        let slots = build.target.slots
        let unsettled =
            looks ? Array(present.indices) : slots.unsettled(in: present, numbers: build.numbers)
        let standIns = Set(build.target.standIns.map { build.numbers[$0] })
        var changes: [SlotChange] = []
        changes.reserveCapacity(unsettled.count)
        for number in unsettled {
            let before = present[number]
            let index = slots[number]
            let isExcluded = index.map(excluded.contains) ?? false
            // Nobody can have it, and who has it goes on.
            let stays = index == nil && before.owner.map(standIns.contains) == true
            let owner = stays ? before.owner : index.map { build.numbers[$0] }
            let after =
                isExcluded
                ? before.given(to: before.owner) { !lives[Int($0.number)] }
                : slot(before, for: owner, looks: looks, build)
            if after != before { changes.append(SlotChange(slot: number, to: after)) }
        }
        guard !changes.isEmpty else { return }
        if excluded.isEmpty {
            // Nothing asks for these slots again: so the plane's are not copied, 256 KiB each.
            steps.append(.writeSlots(build.service, changes))
        } else {
            try add(.writeSlots(build.service, changes))
        }
    }

    /// What becomes of a slot that `owner` is to have.
    ///
    /// - Parameter looks: Whether every flow has had an entry, and will not any more: what has one
    ///   is to be found then, too.
    private func slot(
        _ before: Slot, for owner: BackendID?, looks: Bool, _ build: Build
    ) -> Slot {
        // Nobody has a flow yet; or every flow has a port that says whose it is.
        if build.isNew || build.target.forwarding == .fullNAT { return Slot(owner: owner) }
        let after = before.given(to: owner) { !lives[Int($0.number)] }
        return looks ? after.looking() : after
    }

    /// The length of the turns, if it is in this order to the one before.
    ///
    /// It is made shorter before the slots are written, and longer after: so every turn leads to
    /// a slot of the old order or of the new one.
    private mutating func setTurns(
        of build: Build, if areInOrder: (_ after: Int, _ before: Int) -> Bool
    ) throws(Plan.Exhausted) {
        guard let present = contents.services[build.service] else { return }
        let length = build.target.turnLength
        let count = present.slots.count
        let after = length == 0 ? count : length
        let before = present.turnLength == 0 ? count : present.turnLength
        guard length != present.turnLength, areInOrder(after, before) else { return }
        try add(.setTurns(build.service, length: length))
    }

    /// What the slots had to change for, and who may come.
    private mutating func finish(_ build: Build) throws(Plan.Exhausted) {
        let (target, id) = (build.target, build.service)
        for number in build.losses { try add(.setNextHop(number, nil)) }
        try setTurns(of: build) { $0 >= $1 }
        guard let present = contents.services[id] else { return }
        // The longest first: it is what decides, and so nobody meets a shorter one in its place.
        let rules = target.access.rules.filter { present.rules[$0.key] != $0.value }
            .sorted { ($1.key.length, $0.key) < ($0.key.length, $1.key) }
            .map { AccessChange(prefix: $0.key, rule: $0.value) }
        if !rules.isEmpty { try add(.writeAccess(id, rules)) }
    }

    /// The numbers of the target's backends, after those that have none got one, and which of them
    /// are to lose their next hop, when they own no slot any more.
    private mutating func addBackends(
        of target: Target, to id: ServiceID
    ) throws(Plan.Exhausted) -> (numbers: [BackendID], losses: [BackendID]) {
        // By addresses, of which a service seldom has one twice: whole records take long to hash.
        let known = Dictionary(
            grouping: records[id, default: [:]], by: \.value.address)
        var (numbers, losses) = ([BackendID](), [BackendID]())
        for backend in target.backends {
            let record = target.record(of: backend, in: id)
            let number: BackendID
            let identity = record.identity
            let same = known[record.address, default: []].lazy
                .filter { $0.value.identity == identity }.map(\.key).min()
            if let present = same {
                number = present
                if contents.backends[number]?.load != record.load {
                    try add(.setLoad(number, record.load))
                }
                if record.nextHop == nil {
                    if contents.backends[number]?.nextHop != nil { losses.append(number) }
                } else if !isSameWay(contents.backends[number]?.nextHop, record.nextHop) {
                    try add(.setNextHop(number, record.nextHop))
                }
            } else {
                number = try freeBackend()
                try add(.addBackend(number, record))
            }
            numbers.append(number)
            lives[Int(number.number)] = !backend.isLost && !isTaken(backend, from: target)
        }
        return (numbers, losses)
    }

    /// Lets packets find the target.
    private mutating func open(_ build: Build) throws(Plan.Exhausted) {
        let entry = build.target.entry(of: build.service)
        let keys = build.target.keys.filter { contents.keys[$0] != entry }
        if !keys.isEmpty { try add(.setKeys(keys, entry)) }
    }

    /// After the keys: a VIP inside another takes its packets away from that one.
    private mutating func setVIPs() throws(Plan.Exhausted) {
        let changed = Set(targets.map(\.vip))
            .filter { contents.vips[$0.prefix] != $0.settings }
            .sorted { $0.prefix < $1.prefix }
        if !changed.isEmpty { try add(.setVIPs(changed)) }
    }

    private mutating func freeService(for target: Target) throws(Plan.Exhausted) -> ServiceID {
        while lastService + 1 < capacity.services {
            lastService += 1
            let id = ServiceID(lastService)
            // One without keys was being made when something was refused: it is gone on with.
            let count = contents.services[id]?.slots.count ?? target.slots.count
            if !inUse.contains(id), count == target.slots.count { return id }
        }
        throw Plan.Exhausted(
            description: "cannot add a service: the data plane holds at most "
                + "\(capacity.services - 1)")
    }

    private mutating func freeBackend() throws(Plan.Exhausted) -> BackendID {
        while lastBackend + 1 < capacity.backends {
            lastBackend += 1
            let id = BackendID(lastBackend)
            if contents.backends[id] == nil { return id }
        }
        throw Plan.Exhausted(
            description: "cannot add a backend: the data plane holds at most "
                + "\(capacity.backends - 1)")
    }
}

// MARK: - What is old

extension Planner {
    /// Services whose keys, records and tables are for the targets to say.
    private var concerned: Set<ServiceID> {
        let claimed = Set(claims.compactMap(\.self))
        guard others == .removed else { return claimed }
        return claimed.union(contents.services.keys).union(contents.keys.values.map(\.service))
            .union(contents.backends.values.map(\.service))
    }

    /// What no target wants and no other service needs: VIPs, keys, whole services.
    private mutating func removeUnwanted() throws(Plan.Exhausted) {
        let concerned = concerned
        let keys = contents.keys.filter {
            concerned.contains($0.value.service) && !wanted.contains($0.key)
        }.keys.sorted()
        let vips = unwantedVIPs(without: Set(keys))
        if !vips.isEmpty { try add(.removeVIPs(vips)) }
        if !keys.isEmpty { try add(.removeKeys(keys)) }
        let found = Set(contents.keys.values.map(\.service)).union(claims.compactMap(\.self))
        try remove(concerned.subtracting(found).sorted())
    }

    /// VIPs that no key but those of `keys` belongs to, or that have another length now.
    private func unwantedVIPs(without keys: Set<ServiceKey>) -> [IPPrefix] {
        let targets = Dictionary(
            targets.map { ($0.vip.prefix.base, $0.vip.prefix) }, uniquingKeysWith: min)
        let needed = Set(contents.keys.keys.lazy.filter { !keys.contains($0) }.map(\.vip))
        return contents.vips.keys.filter { prefix in
            guard let wanted = targets[prefix.base] else { return !needed.contains(prefix.base) }
            // It stays until the one that takes its place is there.
            return wanted != prefix && contents.vips[wanted] != nil
        }.sorted()
    }

    private mutating func remove(_ ids: [ServiceID]) throws(Plan.Exhausted) {
        for id in ids {
            guard let service = contents.services[id] else { continue }
            try removeRules(Array(service.rules.keys), of: id)
            try add(.removeSlots(id))
        }
        try remove(ids.flatMap { (records.removeValue(forKey: $0) ?? [:]).keys })
    }

    /// Backends that no slot names.
    private mutating func remove(_ backends: [BackendID]) throws(Plan.Exhausted) {
        guard !backends.isEmpty else { return }
        try add(.forgetFlows(of: Set(backends)))
        for number in backends.sorted() { try add(.removeBackend(number)) }
    }

    /// What the targets' services do not need any more.
    private mutating func tidy() throws(Plan.Exhausted) {
        var gone: [BackendID] = []
        for (index, target) in targets.enumerated() {
            guard let id = claims[index], let service = contents.services[id] else { continue }
            try removeRules(service.rules.keys.filter { target.access.rules[$0] == nil }, of: id)
            gone += records[id, default: [:]].keys.filter { members[id]?.contains($0) != true }
        }
        try remove(gone)
    }

    /// The shortest first, for the reason for which they came last.
    private mutating func removeRules(
        _ prefixes: [IPPrefix], of id: ServiceID
    ) throws(Plan.Exhausted) {
        guard !prefixes.isEmpty else { return }
        let changes = prefixes.sorted { ($0.length, $0) < ($1.length, $1) }
            .map { AccessChange(prefix: $0, rule: nil) }
        try add(.writeAccess(id, changes))
    }
}

/// For each target the service that has most of its keys, if that is not another one's.
///
/// One does not become `full-nat`, or cease to be: its packets would meet half of the change.
private func takenOver(by targets: [Target], _ contents: PlaneContents) -> [ServiceID?] {
    struct Match {
        let target: Int
        let service: ServiceID
        let shared: Int
    }
    let matches = targets.indices.flatMap { index in
        targets[index].keys.reduce(into: [ServiceID: Int]()) { shared, key in
            if let entry = contents.keys[key],
                entry.isFullNAT == (targets[index].forwarding == .fullNAT)
            {
                shared[entry.service, default: 0] += 1
            }
        }.map { Match(target: index, service: $0.key, shared: $0.value) }
    }
    var claims = [ServiceID?](repeating: nil, count: targets.count)
    var claimed: Set<ServiceID> = []
    let ordered = matches.sorted {
        ($1.shared, $0.target, $0.service) < ($0.shared, $1.target, $1.service)
    }
    for match in ordered where claims[match.target] == nil && !claimed.contains(match.service) {
        guard contents.services[match.service]?.slots.count == targets[match.target].slots.count
        else { continue }
        claims[match.target] = match.service
        claimed.insert(match.service)
    }
    return claims
}

private func isSameWay(_ left: NextHop?, _ right: NextHop?) -> Bool {
    guard let left, let right else { return left == nil && right == nil }
    return left.isSameWay(as: right)
}

extension PlaneContents.Backend {
    /// What a record is made with, and never changes; only the next hop and the load do.
    fileprivate var identity: Self {
        var identity = self
        identity.nextHop = nil
        identity.load = PlaneContents.Load()
        return identity
    }
}
