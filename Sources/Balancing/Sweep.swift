/// What a plane is to do while it goes through all recorded flows.
public struct SweepOrders: Hashable, Sendable {
    /// How flows of one service are kept.
    public struct Service: Hashable, Sendable {
        /// Whether every flow has an entry: then none is redundant.
        public var tracks: Bool
        /// How long an entry stays without a packet.
        public var limits: FlowLimits
        /// The slots, as the plane holds them: they say which entries are redundant, and which
        /// are foreign to their slot.
        public var slots: [Slot]

        public init(tracks: Bool, limits: FlowLimits, slots: [Slot]) {
            self.tracks = tracks
            self.limits = limits
            self.slots = slots
        }
    }

    /// Entries of other services are not touched, but counted.
    public var services: [ServiceID: Service]
    /// Backends whose entries are removed: they can't have a flow any more.
    public var lost: Set<BackendID>

    public init(services: [ServiceID: Service] = [:], lost: Set<BackendID> = []) {
        self.services = services
        self.lost = lost
    }
}

/// How long an entry of the flow table stays without a packet, at most 8 hours.
public struct FlowLimits: Hashable, Sendable {
    public var halfOpen: Duration
    public var established: Duration
    public var closing: Duration
    public var datagrams: Duration
    /// Of a client's affinity, from its last new flow on.
    public var affinity: Duration

    public init(
        halfOpen: Duration = .seconds(64), established: Duration = .seconds(7200),
        closing: Duration = .seconds(240), datagrams: Duration = .seconds(300),
        affinity: Duration = .seconds(3600)
    ) {
        self.halfOpen = halfOpen
        self.established = established
        self.closing = closing
        self.datagrams = datagrams
        self.affinity = affinity
    }
}

/// What a plane found while it went through all recorded flows.
public struct SweepReport: Hashable, Sendable {
    /// The flows of one backend that stay, those of `full-nat` included.
    public struct Flows: Hashable, Sendable {
        public var halfOpen = 0
        public var established = 0
        public var closing = 0
        public var datagrams = 0

        public init() {}

        /// Those that load a backend.
        public var active: Int { halfOpen + established + datagrams }
        public var all: Int { active + closing }
    }

    public var flows: [BackendID: Flows] = [:]
    /// Entries of the flow table that are affinities of clients, and no flows.
    public var affinities = 0
    /// Slots with an entry that names another backend than the owner: they can't be settled.
    public var foreign: [ServiceID: SlotSet] = [:]
    /// Entries in the flow table now, affinities included, and how many it has room for.
    public var entries = 0
    public var capacity = 0
    /// Entries that were removed, by the reason.
    public var expired = 0
    public var redundant = 0
    public var lost = 0

    public init() {}
}

/// What happened in the flow table since it was made.
public struct FlowEvents: Hashable, Sendable, Codable {
    public var made: UInt64
    /// Not made: no room.
    public var refused: UInt64
    /// Made in place of a half-open one.
    public var evicted: UInt64
    /// Not made: frozen.
    public var frozen: UInt64

    public init(made: UInt64 = 0, refused: UInt64 = 0, evicted: UInt64 = 0, frozen: UInt64 = 0) {
        self.made = made
        self.refused = refused
        self.evicted = evicted
        self.frozen = frozen
    }
}

/// A set of slots, a bit for each.
public struct SlotSet: Hashable, Sendable {
    private var words: [UInt64]

    /// An empty set of `count` possible slots.
    public init(count: Int) { words = Array(repeating: 0, count: (count + 63) / 64) }

    public func contains(_ slot: Int) -> Bool {
        words[slot >> 6] & (1 << UInt64(slot & 63)) != 0
    }

    public mutating func insert(_ slot: Int) { words[slot >> 6] |= 1 << UInt64(slot & 63) }

    public var isEmpty: Bool { words.allSatisfy { $0 == 0 } }
    public var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }
}
