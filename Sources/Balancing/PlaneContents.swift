public import Packets

/// Everything a plane holds: what was applied, told in its own numbers.
public struct PlaneContents: Hashable, Sendable {
    /// What is held for a service, whether packets can find it or not.
    public struct Service: Hashable, Sendable {
        public var slots: [Slot]
        /// After so many slots the turns of round-robin begin again; 0: after all.
        public var turnLength: Int
        /// The access list.
        public var rules: [IPPrefix: AccessList.Rule]

        public init(
            slots: [Slot], turnLength: Int = 0, rules: [IPPrefix: AccessList.Rule] = [:]
        ) {
            self.slots = slots
            self.turnLength = turnLength
            self.rules = rules
        }
    }

    /// What packets find under a key.
    public struct Entry: Hashable, Sendable {
        public var service: ServiceID
        /// Whether the access list is looked at, and what becomes of those that are not on it.
        public var others: AccessList.Others
        /// Whether every flow has a port of a NAT address: its backends are those of `full-nat`.
        public var isFullNAT: Bool
        /// As ``Selection/held``.
        public var selection: Selection

        public init(
            service: ServiceID, others: AccessList.Others = .unlisted, isFullNAT: Bool = false,
            selection: Selection = Selection()
        ) {
            self.service = service
            self.others = others
            self.isFullNAT = isFullNAT
            self.selection = selection.held
        }
    }

    /// How much a backend can bear, as far as it is said and not measured.
    public struct Load: Hashable, Sendable {
        /// It gets no new flow while it has so many; 0: no limit.
        public var limit: UInt32
        /// What its cost is divided by, where costs are compared.
        public var weight: UInt16
        /// Whether it gets no new flows, so that no client has affinity to it any more.
        public var isClosed: Bool

        /// Whether its flows can't live: those of `full-nat` are given up.
        public var isLost: Bool

        public init(
            limit: UInt32 = 0, weight: UInt16 = 1, isClosed: Bool = false, isLost: Bool = false
        ) {
            self.isLost = isLost
            self.limit = limit
            self.weight = weight
            self.isClosed = isClosed
        }
    }

    /// A backend's record.
    public struct Backend: Hashable, Sendable {
        public var service: ServiceID
        public var address: IPAddress
        public var forwarding: Forwarding
        /// The UDP port of GUE; nil with other modes.
        public var tunnelPort: UInt16?
        /// Bits of the last 32 of the next hop's source that come from the flow's hash.
        public var sourceEntropy: UInt32
        /// Where the backend takes it; nil: at the port that the client addressed.
        public var port: UInt16?
        /// Nil: not known; packets for it are dropped and counted as such.
        public var nextHop: NextHop?
        public var load: Load

        public init(
            service: ServiceID, address: IPAddress, forwarding: Forwarding,
            tunnelPort: UInt16? = nil, sourceEntropy: UInt32 = 0, port: UInt16? = nil,
            nextHop: NextHop?, load: Load = Load()
        ) {
            self.service = service
            self.address = address
            self.forwarding = forwarding
            self.tunnelPort = tunnelPort
            self.sourceEntropy = sourceEntropy
            self.port = port
            self.nextHop = nextHop
            self.load = load
        }
    }

    /// Those that have a slot table.
    public var services: [ServiceID: Service]
    public var keys: [ServiceKey: Entry]
    public var vips: [IPPrefix: VIP.Settings]
    public var backends: [BackendID: Backend]
    /// As whose the answers of `nat` backends leave.
    public var returns: [ReturnKey: ServiceKey]
    /// What `full-nat` sends from.
    public var pool: NATPool
    /// The interfaces by which answers can leave, by the kernel's index of what the routes name:
    /// of a VLAN its own, not that of the card below it.
    public var exits: [UInt32: Egress]

    public init(
        services: [ServiceID: Service] = [:], keys: [ServiceKey: Entry] = [:],
        vips: [IPPrefix: VIP.Settings] = [:], backends: [BackendID: Backend] = [:],
        returns: [ReturnKey: ServiceKey] = [:], pool: NATPool = NATPool(),
        exits: [UInt32: Egress] = [:]
    ) {
        self.services = services
        self.keys = keys
        self.vips = vips
        self.backends = backends
        self.returns = returns
        self.pool = pool
        self.exits = exits
    }
}

extension PlaneContents {
    /// What a packet finds that is sent to `port` of `address`; docs/life-of-a-packet.md §2.
    public func entry(
        for address: IPAddress, port: UInt16, transport: Transport
    ) -> Entry? {
        let exact = ServiceKey(vip: address, port: port, transport: transport)
        if let entry = keys[exact] { return entry }
        let vip = vips.keys.filter { $0.contains(address) }.max { $0.length < $1.length }
        guard let base = vip?.base else { return nil }
        return keys[ServiceKey(vip: base, port: port, transport: transport)]
            ?? keys[ServiceKey(vip: base, port: nil, transport: transport)]
    }

    /// The number under which the plane holds the service that clients reach by `frontend`.
    public func service(behind frontend: Frontend) -> ServiceID? {
        let port = frontend.ports.ranges?.first?.lowerBound
        return keys[
            ServiceKey(vip: frontend.vip.base, port: port, transport: frontend.transport)]?.service
    }

    /// What clients address, for each service that they can reach.
    public var frontends: [ServiceID: Frontend] {
        let prefixes = Dictionary(vips.keys.map { ($0.base, $0) }, uniquingKeysWith: max)
        return Dictionary(grouping: keys, by: \.value.service).compactMapValues { entries in
            guard let first = entries.map(\.key).min() else { return nil }
            let ports = entries.compactMap(\.key.port)
            return Frontend(
                vip: prefixes[first.vip] ?? IPPrefix(first.vip),
                ports: ports.isEmpty ? .any : Ports(ports.map { $0...$0 }),
                transport: first.transport)
        }
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
        case .setLoad(let number, let load):
            precondition(backends[number] != nil, "no backend \(number)")
            backends[number]?.load = load
        case .addSlots(let id, let count):
            precondition(services[id] == nil, "service \(id) exists")
            services[id] = Service(slots: Array(repeating: Slot(owner: nil), count: count))
        case .writeSlots(let id, let changes):
            precondition(services[id] != nil, "no service \(id)")
            services[id]?.write(changes)
        case .setTurns(let id, let length):
            precondition(services[id] != nil, "no service \(id)")
            services[id]?.turnLength = length
        case .writeAccess(let id, let changes):
            precondition(services[id] != nil, "no service \(id)")
            for change in changes { services[id]?.rules[change.prefix] = change.rule }
        case .setKeys(let added, let entry):
            precondition(services[entry.service] != nil, "no service \(entry.service)")
            for key in added { keys[key] = entry }
        case .setVIPs(let changed):
            for vip in changed { vips[vip.prefix] = vip.settings }
        case .removeVIPs(let prefixes):
            for prefix in prefixes { vips[prefix] = nil }
        case .removeKeys(let removed):
            for key in removed { keys[key] = nil }
        case .removeSlots(let id):
            precondition(services[id]?.rules.isEmpty == true, "the access list goes first")
            services[id] = nil
        case .forgetFlows: break
        case .removeBackend(let number):
            backends[number] = nil
        case .setReturns(let added):
            for entry in added { returns[entry.from] = entry.to }
        case .removeReturns(let removed):
            for key in removed { returns[key] = nil }
        case .addNATAddress, .writeNATShares, .removeNATAddress: pool.apply(step)
        case .setExits(let changed): exits.merge(changed) { $1 }
        case .removeExits(let removed):
            for interface in removed { exits[interface] = nil }
        }
    }
}

extension PlaneContents.Service {
    fileprivate mutating func write(_ changes: [SlotChange]) {
        for change in changes { slots[change.slot] = change.to }
    }
}

extension NATPool {
    fileprivate mutating func apply(_ step: Step) {
        switch step {
        case .addNATAddress(let number, let address):
            precondition(addresses[number] == nil, "NAT address \(number) exists")
            addresses[number] = address
        case .writeNATShares(let changes):
            for change in changes {
                let named = [change.share.owner, change.share.former].compactMap(\.self)
                precondition(named.allSatisfy { addresses[$0]?.family == change.family })
                self[change.family][change.number] = change.share
            }
        case .removeNATAddress(let number):
            precondition(!named.contains(number), "NAT address \(number) has shares")
            addresses[number] = nil
        default: break
        }
    }
}
