public import Packets

/// One change of a plane that is whole by itself.
public enum Step: Hashable, Sendable {
    /// Makes a backend's record, with counters at 0. Nothing names it yet.
    case addBackend(BackendID, PlaneContents.Backend)
    /// Replaces the next hop of a backend.
    case setNextHop(BackendID, NextHop?)
    /// Makes a slot table in which nobody owns anything.
    case addSlots(ServiceID, count: Int)
    /// Changes the owners of some slots.
    case writeSlots(ServiceID, [SlotChange])
    /// Says who may use a service.
    case setAccess(ServiceID, AccessList)
    /// Lets packets find the service.
    case addService(ServiceKey, ServiceID)
    /// Lets packets find it no more.
    case removeService(ServiceKey, ServiceID)
    /// Removes the slot table.
    case removeSlots(ServiceID)
    /// Frees a backend's record. Nothing may name it any more.
    case removeBackend(BackendID)
}

/// A slot and its new owner; nil: nobody can serve.
public struct SlotChange: Hashable, Sendable {
    public var slot: Int
    public var owner: BackendID?

    public init(slot: Int, owner: BackendID?) {
        self.slot = slot
        self.owner = owner
    }
}

/// What a plane is to hold for one service.
public struct Target: Hashable, Sendable {
    /// A backend with what is known of the way to it.
    public struct Backend: Hashable, Sendable {
        public var address: IPAddress
        public var nextHop: NextHop?

        public init(address: IPAddress, nextHop: NextHop?) {
            self.address = address
            self.nextHop = nextHop
        }
    }

    public var key: ServiceKey
    public var forwarding: Forwarding
    /// The UDP port of GUE; nil in other modes.
    public var tunnelPort: UInt16?
    public var access: AccessList
    public var backends: [Backend]
    /// Owners are indices into `backends`.
    public var slots: SlotTable

    public init(
        key: ServiceKey, forwarding: Forwarding, tunnelPort: UInt16? = nil,
        access: AccessList = AccessList(), backends: [Backend], slots: SlotTable
    ) {
        self.key = key
        self.forwarding = forwarding
        self.tunnelPort = tunnelPort
        self.access = access
        self.backends = backends
        self.slots = slots
    }
}

/// What must happen for a plane to hold the targets.
///
/// A plan is a value: it can be printed, compared in a test, and it is empty when nothing has to
/// change. Its order never leaves a hole: a backend's record comes before the slot that names it,
/// the slot moves away before the record is freed or loses its next hop; a service is found last
/// and lost first.
public struct Plan: Hashable, Sendable {
    public private(set) var steps: [Step] = []

    /// A plane that has no number left for what is asked of it.
    public struct Exhausted: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// How many services and backends a plane has numbers for.
    public struct Capacity: Hashable, Sendable {
        /// Numbers are 1 to `services` - 1.
        public var services: UInt32
        /// Numbers are 1 to `backends` - 1.
        public var backends: UInt16

        public init(services: UInt32 = 1 << 12, backends: UInt16 = 1 << 15) {
            self.services = services
            self.backends = backends
        }
    }

    /// Plans the way from `contents` to `targets`.
    ///
    /// - Parameter others: What becomes of services that are not among the targets.
    public init(
        from contents: PlaneContents, to targets: [Target], others: Others,
        capacity: Capacity = Capacity()
    ) throws(Exhausted) {
        var contents = contents
        if others == .removed {
            let wanted = Set(targets.map(\.key))
            for key in contents.services.keys.filter({ !wanted.contains($0) }).sorted() {
                add(Self.removal(of: key, from: contents), to: &contents)
            }
        }
        for target in targets {
            add(try Self.steps(to: target, from: contents, capacity), to: &contents)
        }
    }

    /// What a plan does with the services that it has no target for.
    public enum Others: Hashable, Sendable {
        case kept
        case removed
    }

    private mutating func add(_ more: [Step], to contents: inout PlaneContents) {
        for step in more { contents.apply(step) }
        steps += more
    }

    private static func removal(of key: ServiceKey, from contents: PlaneContents) -> [Step] {
        guard let service = contents.services[key] else { return [] }
        let backends = contents.backends.filter { $0.value.service == service.id }.keys.sorted()
        let access: [Step] =
            service.access.rules.isEmpty ? [] : [.setAccess(service.id, AccessList())]
        return [.removeService(key, service.id), .removeSlots(service.id)] + access
            + backends.map { .removeBackend($0) }
    }

    private static func steps(
        to target: Target, from contents: PlaneContents, _ capacity: Capacity
    ) throws(Exhausted) -> [Step] {
        let present = contents.services[target.key]
        let id = if let present { present.id } else { try freeService(in: contents, capacity) }
        var steps: [Step] = []

        // Who keeps a record, who gets one.
        var known: [IPAddress: BackendID] = [:]
        for (number, backend) in contents.backends
        where backend.service == id && backend.forwarding == target.forwarding
            && backend.tunnelPort == target.tunnelPort
        {
            known[backend.address] = number
        }
        var numbers: [BackendID] = []
        var losses: [Step] = []
        var free = FreeNumbers(taken: contents.backends.keys, capacity)
        for backend in target.backends {
            if let number = known[backend.address] {
                numbers.append(number)
                if contents.backends[number]?.nextHop != backend.nextHop {
                    let step = Step.setNextHop(number, backend.nextHop)
                    if backend.nextHop == nil { losses.append(step) } else { steps.append(step) }
                }
            } else {
                let number = try free.next()
                numbers.append(number)
                steps.append(
                    .addBackend(
                        number,
                        PlaneContents.Backend(
                            service: id, address: backend.address, forwarding: target.forwarding,
                            tunnelPort: target.tunnelPort, nextHop: backend.nextHop)))
            }
        }

        // Whose slots are whose.
        if present == nil { steps.append(.addSlots(id, count: target.slots.count)) }
        let changes = (0..<target.slots.count).compactMap { slot -> SlotChange? in
            let owner = target.slots[slot].map { numbers[$0] }
            return owner == present?.slots[slot] ?? nil ? nil : SlotChange(slot: slot, owner: owner)
        }
        if !changes.isEmpty { steps.append(.writeSlots(id, changes)) }
        if present?.access ?? AccessList() != target.access {
            steps.append(.setAccess(id, target.access))
        }
        if present == nil { steps.append(.addService(target.key, id)) }
        steps += losses

        // Who is not needed any more.
        let kept = Set(numbers)
        let gone = contents.backends.filter { $0.value.service == id && !kept.contains($0.key) }
        return steps + gone.keys.sorted().map { .removeBackend($0) }
    }

    private static func freeService(
        in contents: PlaneContents, _ capacity: Capacity
    ) throws(Exhausted) -> ServiceID {
        let taken = Set(contents.services.values.map(\.id.number))
        guard let number = (1..<capacity.services).first(where: { !taken.contains($0) }) else {
            throw Exhausted(
                description: "cannot add a service: the data plane holds at most "
                    + "\(capacity.services - 1)")
        }
        return ServiceID(number)
    }
}

/// Backend numbers that nothing uses, the lowest first.
private struct FreeNumbers {
    private let taken: Set<BackendID>
    private let capacity: UInt16
    private var last: UInt16 = 0

    init(taken: some Sequence<BackendID>, _ capacity: Plan.Capacity) {
        self.taken = Set(taken)
        self.capacity = capacity.backends
    }

    mutating func next() throws(Plan.Exhausted) -> BackendID {
        while last + 1 < capacity {
            last += 1
            if !taken.contains(BackendID(last)) { return BackendID(last) }
        }
        throw Plan.Exhausted(
            description: "cannot add a backend: the data plane holds at most \(capacity - 1)")
    }
}

extension ServiceKey: Comparable {
    public static func < (left: Self, right: Self) -> Bool {
        (left.vip, left.port ?? 0, left.transport.rawValue)
            < (right.vip, right.port ?? 0, right.transport.rawValue)
    }
}

extension PlaneContents {
    /// Takes over what `step` does to a plane. A step that breaks the order is a bug of the plan.
    public mutating func apply(_ step: Step) {
        switch step {
        case .addBackend(let number, let backend):
            precondition(backends[number] == nil, "backend \(number) exists")
            backends[number] = backend
        case .setNextHop(let number, let nextHop):
            precondition(backends[number] != nil, "no backend \(number)")
            backends[number]?.nextHop = nextHop
        case .addSlots(let id, let count):
            unreachable[id] = Array(repeating: nil, count: count)
        case .writeSlots(let id, let changes):
            write(changes, of: id)
        case .addService(let key, let id):
            precondition(services[key] == nil, "service \(key) exists")
            services[key] = Service(
                id: id, slots: unreachable.removeValue(forKey: id) ?? [],
                access: waiting.removeValue(forKey: id) ?? AccessList())
        case .removeService(let key, let id):
            unreachable[id] = services.removeValue(forKey: key)?.slots
        case .removeSlots(let id):
            unreachable[id] = nil
        case .setAccess(let id, let access):
            if let key = services.first(where: { $0.value.id == id })?.key {
                services[key]?.access = access
            } else {
                waiting[id] = access.rules.isEmpty ? nil : access
            }
        case .removeBackend(let number):
            backends[number] = nil
        }
    }

    private mutating func write(_ changes: [SlotChange], of id: ServiceID) {
        guard let key = services.first(where: { $0.value.id == id })?.key else {
            for change in changes { unreachable[id]?[change.slot] = change.owner }
            return
        }
        for change in changes { services[key]?.slots[change.slot] = change.owner }
    }
}
