public import CDatapath

// docs/life-of-a-packet.md §6: flows that are remembered, because backends change or because
// their service chooses by more than the flow's hash.

/// An entry of the flow table.
public struct FlowEntry: Hashable, Sendable {
    public var backend: UInt32
    /// Of its service.
    public var slot: UInt32
    public var state: martlet_flow_state
    /// When it was last used, in units of 2^33 ns.
    public var epoch: UInt32
    /// The upper 18 bits of the flow's hash.
    public var fingerprint: UInt32

    public init(
        backend: UInt32, slot: UInt32, state: martlet_flow_state, epoch: UInt32,
        fingerprint: UInt32
    ) {
        self.backend = backend
        self.slot = slot
        self.state = state
        self.epoch = epoch
        self.fingerprint = fingerprint
    }

    /// The entry in a word of the table; nil: the place is free.
    public init?(word: UInt64) {
        func bits(_ first: UInt64, _ count: UInt64) -> UInt32 {
            UInt32(word >> first & (1 << count - 1))
        }
        state = martlet_flow_state(bits(31, 3))
        guard state != MARTLET_FLOW_FREE else { return nil }
        backend = bits(0, 15)
        slot = bits(15, 16)
        epoch = bits(34, 12)
        fingerprint = bits(46, 18)
    }

    public var word: UInt64 {
        UInt64(backend) | UInt64(slot) << 15 | UInt64(state.rawValue) << 31 | UInt64(epoch) << 34
            | UInt64(fingerprint) << 46
    }

    /// Moves it on by a packet of its flow.
    mutating func renew(by packet: Packet, at epoch: UInt32) {
        self.epoch = epoch
        if packet.endsFlow {
            state = MARTLET_FLOW_CLOSING
        } else if state == MARTLET_FLOW_HALF_OPEN, !packet.isNewFlow {
            state = MARTLET_FLOW_ESTABLISHED
        }
    }
}

/// One of the eight places of a bucket.
public struct FlowPlace: Hashable, Sendable {
    public var bucket: UInt32
    public var lane: Int

    public init(bucket: UInt32, lane: Int) {
        self.bucket = bucket
        self.lane = lane
    }
}

/// Where the entry of a flow with this hash can be.
public struct FlowPlaces: Sendable {
    public let fingerprint: UInt32
    public let buckets: [UInt32]

    /// - Parameter mask: The number of buckets that are in use, less one.
    public init(hash: UInt64, mask: UInt32) {
        fingerprint = UInt32(hash >> 46)
        let first = UInt32(truncatingIfNeeded: hash >> 16) & mask
        let step = (fingerprint &* 0x5bd1_e995) >> 8 | 1
        buckets = [first, (first ^ step) & mask]
    }

    /// In the order in which they are searched.
    public var all: [FlowPlace] { buckets.flatMap(Self.places) }

    static func places(of bucket: UInt32) -> [FlowPlace] {
        (0..<8).map { FlowPlace(bucket: bucket, lane: $0) }
    }
}

/// A flow and its slot, which it shares with others.
struct SlottedFlow {
    let service: Tables.Service
    /// Of the flow.
    let hash: UInt64
    /// What names the slot: the same, or that of the client without its port.
    let slotHash: UInt64
    let slot: UInt32
    /// All slots of the service.
    let slots: [UInt32]

    private var word: UInt32 { slots[Int(slot)] }
    /// Who gets new flows; 0: nobody.
    var owner: UInt32 { word & 0x7fff }
    /// Who has the flows without an entry; 0: nobody.
    var fallback: UInt32 { former == 0 ? owner : former }
    /// Some flows have an entry.
    var looks: Bool { word >> 15 & 1 == 1 }
    /// Flows without an entry get one.
    var pins: Bool { word >> 31 == 1 }

    private var former: UInt32 { word >> 16 & 0x7fff }
}

extension Decision {
    /// The backend of a flow that may have an entry.
    mutating func lookUp(_ flow: SlottedFlow) -> Choice {
        let found = find(flow.hash, in: flow) { $0 != MARTLET_FLOW_AFFINITY }
        if let (place, entry) = found {
            outcome.entry = entry
            guard packet.isNewFlow, entry.state == MARTLET_FLOW_CLOSING else {
                if !isError { renew(entry, at: place) }
                return .backend(entry.backend, place: nil)
            }
            outcome.flowWords[place] = 0
        }
        if begins(in: flow.service) { return begin(flow) }
        if flow.pins, !isError, flow.fallback != flow.owner {
            let state = packet.endsFlow ? MARTLET_FLOW_CLOSING : MARTLET_FLOW_ESTABLISHED
            _ = make(flow, state, of: flow.fallback)
        }
        return fallBack(flow)
    }

    /// Whether the packet is the first of its flow, as far as one can tell.
    private func begins(in service: Tables.Service) -> Bool {
        !isError && (packet.isNewFlow || isUDP && service.tracks)
    }

    private mutating func begin(_ flow: SlottedFlow) -> Choice {
        if tables.isFrozen {
            outcome.flowEvents.append(MARTLET_FLOW_FROZEN)
            return fallBack(flow)
        }
        let choice = choose(for: flow)
        guard case .backend(let chosen, _) = choice else { return choice }
        guard flow.service.tracks || chosen != flow.fallback else { return choice }
        let state = isUDP ? MARTLET_FLOW_DATAGRAMS : MARTLET_FLOW_HALF_OPEN
        return make(flow, state, of: chosen) ? choice : fallBack(flow)
    }

    private func fallBack(_ flow: SlottedFlow) -> Choice {
        flow.fallback == 0
            ? .verdict(MARTLET_DROP_NO_BACKEND) : .backend(flow.fallback, place: nil)
    }

    private mutating func renew(_ entry: FlowEntry, at place: FlowPlace) {
        var renewed = entry
        renewed.renew(by: packet, at: epoch)
        outcome.flowWords[place] = renewed.word
        if renewed.state == MARTLET_FLOW_CLOSING, entry.state != MARTLET_FLOW_CLOSING {
            outcome.loadChanges[entry.backend, default: 0] -= 1
        }
    }

    /// Makes an entry for the flow; false: there is no room.
    private mutating func make(
        _ flow: SlottedFlow, _ state: martlet_flow_state, of backend: UInt32
    ) -> Bool {
        guard make(flow.hash, in: flow, state, of: backend) else { return false }
        if state != MARTLET_FLOW_CLOSING { outcome.loadChanges[backend, default: 0] += 1 }
        return true
    }

    // MARK: Places

    /// The first entry with such a state, under the hash, of the flow's slot and service.
    func find(
        _ hash: UInt64, in flow: SlottedFlow, _ isRight: (martlet_flow_state) -> Bool
    ) -> (FlowPlace, FlowEntry)? {
        let places = FlowPlaces(hash: hash, mask: tables.flowMask)
        for place in places.all {
            guard let entry = FlowEntry(word: word(at: place)), isRight(entry.state),
                entry.fingerprint == places.fingerprint, entry.slot == flow.slot,
                tables.backends[entry.backend]?.service == flow.service.id
            else { continue }
            return (place, entry)
        }
        return nil
    }

    /// Makes an entry under the hash; false: there is no room.
    mutating func make(
        _ hash: UInt64, in flow: SlottedFlow, _ state: martlet_flow_state, of backend: UInt32
    ) -> Bool {
        let places = FlowPlaces(hash: hash, mask: tables.flowMask)
        let entry = FlowEntry(
            backend: backend, slot: flow.slot, state: state, epoch: epoch,
            fingerprint: places.fingerprint)
        if let place = freePlace(places) {
            outcome.flowWords[place] = entry.word
            outcome.flowEvents.append(MARTLET_FLOW_MADE)
        } else if state == MARTLET_FLOW_ESTABLISHED, let (place, victim) = victim(places) {
            outcome.flowWords[place] = entry.word
            outcome.flowEvents.append(MARTLET_FLOW_EVICTED)
            if victim.state == MARTLET_FLOW_HALF_OPEN {
                outcome.loadChanges[victim.backend, default: 0] -= 1
            }
        } else {
            outcome.flowEvents.append(MARTLET_FLOW_REFUSED)
            return false
        }
        return true
    }

    private func freePlace(_ places: FlowPlaces) -> FlowPlace? {
        let free = places.buckets.map { bucket in
            FlowPlaces.places(of: bucket).filter { word(at: $0) == 0 }
        }
        return (free[1].count > free[0].count ? free[1] : free[0]).first
    }

    /// What nobody has confirmed, or is over, makes room for what somebody uses.
    private func victim(_ places: FlowPlaces) -> (FlowPlace, FlowEntry)? {
        let victims = places.buckets.map { bucket in
            FlowPlaces.places(of: bucket).compactMap { place -> (FlowPlace, FlowEntry)? in
                guard let entry = FlowEntry(word: word(at: place)),
                    [MARTLET_FLOW_HALF_OPEN, MARTLET_FLOW_CLOSING, MARTLET_FLOW_AFFINITY]
                        .contains(entry.state)
                else { return nil }
                return (place, entry)
            }
        }
        return (victims[1].count > victims[0].count ? victims[1] : victims[0]).first
    }

    /// What the table has there, with what this packet has changed.
    private func word(at place: FlowPlace) -> UInt64 {
        outcome.flowWords[place] ?? tables.flows[place.bucket]?[place.lane] ?? 0
    }

    /// The time in units of 2^33 ns, as far as an entry has it.
    var epoch: UInt32 { now >> 3 & 0xfff }
    var isUDP: Bool { packet.flow.transport == 17 }
}
