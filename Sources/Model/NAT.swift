import CDatapath
public import Packets

/// What the NAT modes know, besides the records of the backends.
public struct NAT: Sendable {
    /// Of `nat`: as whom backends answer.
    public var returns: [End: Return] = [:]
    /// Whether they are asked, and whether ``numbers`` are.
    public var asksReturns = false
    public var asksAddresses = false
    /// Of `full-nat`: the addresses that it sends from.
    public var addresses: [UInt32: IPAddress] = [:]
    /// The same the other way round.
    public var numbers: [IPAddress: UInt32] = [:]
    /// Those of IPv4 are 0 to 255, those of IPv6 256 to 511.
    public var shares: [Int: Share] = [:]
    /// The addresses that have a table.
    public var tables: Set<UInt32> = []
    public var flows: [Place: NATFlow] = [:]

    public init() {}

    /// An address and a port of it; port 0: any.
    public struct End: Hashable, Sendable {
        public var address: IPAddress
        public var port: UInt16
        public var transport: UInt8

        public init(address: IPAddress, port: UInt16, transport: UInt8) {
            self.address = address
            self.port = port
            self.transport = transport
        }
    }

    /// What an answer comes from; port 0: it stays.
    public struct Return: Hashable, Sendable {
        public var vip: IPAddress
        public var port: UInt16

        public init(vip: IPAddress, port: UInt16) {
            self.vip = vip
            self.port = port
        }
    }

    /// Which address has a part of all flows, and which had it; 0: none.
    public struct Share: Hashable, Sendable {
        public var owner: UInt32
        public var former: UInt32

        public init(owner: UInt32, former: UInt32) {
            self.owner = owner
            self.former = former
        }
    }

    /// The number of a NAT address, and a port there.
    public struct Place: Hashable, Sendable {
        public var address: UInt32
        public var port: UInt16

        public init(address: UInt32, port: UInt16) {
            self.address = address
            self.port = port
        }
    }
}

/// A flow of `full-nat`.
public struct NATFlow: Hashable, Sendable {
    /// Where it stands: `MARTLET_NAT_…`.
    public var state: UInt32
    /// When it was last used, in units of 2^30 ns.
    public var used: UInt32
    /// The upper half of its hash.
    public var tag: UInt32
    public var client: End
    public var vip: End
    public var backend: End
    public var backendID: UInt32
    /// Where its client's packets come from; nil: not known.
    public var lastHop: Hop?

    public init(
        state: UInt32, used: UInt32, tag: UInt32, client: End, vip: End, backend: End,
        backendID: UInt32, lastHop: Hop?
    ) {
        self.state = state
        self.used = used
        self.tag = tag
        self.client = client
        self.vip = vip
        self.backend = backend
        self.backendID = backendID
        self.lastHop = lastHop
    }

    public struct End: Hashable, Sendable {
        public var address: IPAddress
        public var port: UInt16

        public init(_ address: IPAddress, _ port: UInt16) {
            self.address = address
            self.port = port
        }
    }

    /// A neighbour on an egress.
    public struct Hop: Hashable, Sendable {
        public var neighbour: [UInt8]
        public var egress: UInt32

        public init(neighbour: [UInt8], egress: UInt32) {
            self.neighbour = neighbour
            self.egress = egress
        }
    }

    /// Whether another flow may have its port: it has been idle for too long; `isTight`: or
    /// nobody has confirmed it, or it is over.
    func isOver(at now: UInt32, isTight: Bool) -> Bool {
        let bits = UInt32(MARTLET_NAT_TIME_BITS.rawValue)
        let age = (now &- used) & (1 << bits - 1)
        // What was used in the future was used by a CPU that has read the clock later.
        let isFromFuture = age >> (bits - 1) == 1
        return !isFromFuture && age > idleLimit(isTight: isTight)
    }

    /// In units of 2^30 ns: docs/life-of-a-packet.md §5.
    private func idleLimit(isTight: Bool) -> UInt32 {
        switch martlet_nat_state(state) {
        case MARTLET_NAT_MAKING: 30
        case MARTLET_NAT_OPENING: isTight ? 0 : 30
        case MARTLET_NAT_ANSWERED: isTight ? 0 : 60
        case MARTLET_NAT_ESTABLISHED: 7440
        case MARTLET_NAT_CLOSING: isTight ? 60 : 240
        case MARTLET_NAT_ASKING: isTight ? 0 : 300
        default: 300
        }
    }

    /// Moves it on by a packet of its client or of its backend. What a backend repeats to a client
    /// who may not exist does not keep it alive.
    mutating func renew(by packet: Packet, isAnswer: Bool, at now: UInt32) {
        let before = state
        state = next(packet, isAnswer: isAnswer)
        let isRepeated =
            isAnswer && before == MARTLET_NAT_ANSWERED.rawValue && state == before
        if !isRepeated { used = now }
    }

    private func next(_ packet: Packet, isAnswer: Bool) -> UInt32 {
        switch (martlet_nat_state(state), isAnswer) {
        case (MARTLET_NAT_ASKING, true): MARTLET_NAT_TALKING.rawValue
        case _ where isUDP: state
        case _ where packet.endsFlow: MARTLET_NAT_CLOSING.rawValue
        case (MARTLET_NAT_OPENING, true): MARTLET_NAT_ANSWERED.rawValue
        case (MARTLET_NAT_ANSWERED, false) where !packet.isNewFlow:
            MARTLET_NAT_ESTABLISHED.rawValue
        default: state
        }
    }

    var isUDP: Bool { state >= MARTLET_NAT_ASKING.rawValue }
    var isOpening: Bool { state == MARTLET_NAT_OPENING.rawValue }
    var isClosing: Bool { state == MARTLET_NAT_CLOSING.rawValue }
    var isBeingMade: Bool { state == MARTLET_NAT_MAKING.rawValue }
}

/// Where a flow with this hash can be.
public struct NATPlaces: Sendable {
    public let share: Int
    public let tag: UInt32
    /// The numbers of the two buckets.
    public let buckets: [Int]

    public init(hash: UInt64, family: IPFamily) {
        share = Int(hash >> 32 & 0xff) + (family == .v4 ? 0 : 256)
        tag = UInt32(hash >> 32)
        buckets = [16, 40].map { 128 + (Int(hash >> $0 & 0xffff) * 8064) >> 16 }
    }

    func ports(of bucket: Int) -> [UInt16] { (0..<8).map { UInt16(8 * bucket + $0) } }

    /// All places at an address, in the order in which they are searched.
    public func all(at address: UInt32) -> [NAT.Place] {
        buckets.flatMap(ports).map { NAT.Place(address: address, port: $0) }
    }
}

extension Decision {
    /// Docs §5: the backend that the flow has, or one that is chosen for it.
    mutating func chooseNATFlow(_ service: Tables.Service, hash: UInt64) -> Choice {
        let places = NATPlaces(hash: hash, family: packet.family)
        let share = tables.nat.shares[places.share] ?? NAT.Share(owner: 0, former: 0)
        let found = find(places, in: share)
        outcome.natFlow = found.flatMap { place in
            tables.nat.flows[place].map { (place, $0) }
        }
        if let found, let flow = tables.nat.flows[found], flow.isBeingMade {
            return .verdict(MARTLET_DROP_NAT_BUSY)
        }
        if let found, goOn(found, in: service) {
            return .backend(tables.nat.flows[found]?.backendID ?? 0, place: found)
        }
        guard !isError, isUDP || packet.isNewFlow else {
            return .verdict(MARTLET_DROP_NAT_NO_FLOW)
        }
        guard let flow = slotted(service, hash: hash) else {
            return .verdict(MARTLET_DROP_BROKEN_TABLE)
        }
        let choice = choose(for: flow)
        guard case .backend(let chosen, _) = choice else { return choice }
        guard let place = found ?? freePlace(places, at: share.owner) else {
            return .verdict(MARTLET_DROP_NAT_EXHAUSTED)
        }
        if let found, let former = tables.nat.flows[found], former.isOpening {
            outcome.loadChanges[former.backendID, default: 0] -= 1
        }
        return open(place, tag: places.tag, of: chosen, service)
    }

    private func find(_ places: NATPlaces, in share: NAT.Share) -> NAT.Place? {
        [share.owner, share.former].filter { $0 != 0 && tables.nat.tables.contains($0) }
            .flatMap(places.all(at:))
            .first { place in
                guard let flow = tables.nat.flows[place], flow.tag == places.tag else {
                    return false
                }
                return flow.isBeingMade || flow.isOf(packet.flow)
            }
    }

    /// Whether the flow goes on as it is; then it is renewed.
    private mutating func goOn(_ place: NAT.Place, in service: Tables.Service) -> Bool {
        guard var flow = tables.nat.flows[place], let backend = tables.backends[flow.backendID],
            backend.service == service.id, backend.isFullNAT,
            backend.address == flow.backend.address,
            backend.port == flow.backend.port || backend.port == 0 && flow.keepsPort,
            tables.loads[flow.backendID]?.isLost != true
        else { return false }
        if packet.isNewFlow, flow.isOpening || flow.isClosing { return false }
        if isError { return true }
        flow.lastHop = lastHop
        renew(flow, at: place, isAnswer: false)
        return true
    }

    /// Moves a flow on by this packet. Who makes it *closing* takes one from its backend's flows.
    mutating func renew(_ flow: NATFlow, at place: NAT.Place, isAnswer: Bool) {
        var renewed = flow
        renewed.renew(by: packet, isAnswer: isAnswer, at: now)
        outcome.flowChange = (place, renewed)
        if renewed.isClosing, !flow.isClosing {
            outcome.loadChanges[flow.backendID, default: 0] -= 1
        }
    }

    private func freePlace(_ places: NATPlaces, at address: UInt32) -> NAT.Place? {
        guard address != 0, tables.nat.tables.contains(address) else { return nil }
        return freePlace(places, at: address, isTight: false)
            ?? freePlace(places, at: address, isTight: true)
    }

    private func freePlace(
        _ places: NATPlaces, at address: UInt32, isTight: Bool
    ) -> NAT.Place? {
        let free = places.buckets.map { bucket in
            places.ports(of: bucket).map { NAT.Place(address: address, port: $0) }
                .filter { tables.nat.flows[$0]?.isOver(at: now, isTight: isTight) ?? true }
        }
        return (free[1].count > free[0].count ? free[1] : free[0]).first
    }

    private mutating func open(
        _ place: NAT.Place, tag: UInt32, of chosen: UInt32, _ service: Tables.Service
    ) -> Choice {
        guard let backend = tables.backends[chosen], backend.service == service.id,
            backend.isFullNAT, backend.address.family == packet.family
        else {
            outcome.flowChange = (place, nil)
            return .verdict(MARTLET_DROP_BROKEN_TABLE)
        }
        let ends = packet.flow
        let port = backend.port == 0 ? ends.destinationPort : backend.port
        let flow = NATFlow(
            state: isUDP ? MARTLET_NAT_ASKING.rawValue : MARTLET_NAT_OPENING.rawValue,
            used: now, tag: tag, client: .init(ends.source, ends.sourcePort),
            vip: .init(ends.destination, ends.destinationPort),
            backend: .init(backend.address, port), backendID: chosen, lastHop: lastHop)
        outcome.flowChange = (place, flow)
        outcome.loadChanges[chosen, default: 0] += 1
        return .backend(chosen, place: place)
    }

    private var lastHop: NATFlow.Hop? {
        guard packet.tags.isEmpty, let egress = tables.egressNumbers[interface] else { return nil }
        return NATFlow.Hop(neighbour: Array(packet.frame[6..<12]), egress: egress)
    }
}

extension NATFlow {
    fileprivate var keepsPort: Bool { backend.port == vip.port }

    fileprivate func isOf(_ flow: Flow) -> Bool {
        client == End(flow.source, flow.sourcePort)
            && vip == End(flow.destination, flow.destinationPort)
            && isUDP == (flow.transport == 17)
    }
}
