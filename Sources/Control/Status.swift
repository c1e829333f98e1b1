public import Balancing
public import FoundationEssentials

/// What a controller knows at a moment, for people and for programs.
public struct Status: Hashable, Sendable, Codable {
    /// When it was so.
    public var taken: Date
    /// Over how many seconds the rates are; nil: there are none.
    public var interval: Double?
    /// Where the program runs, and where it should.
    public var interfaces: [Interface]
    /// In the order of the configuration.
    public var services: [Service]
    /// What is remembered of flows.
    public var flowTable: FlowTable
    /// What counts, and since when.
    public var configuration: Configuration

    public init(
        taken: Date, interval: Double? = nil, interfaces: [Interface], services: [Service],
        flowTable: FlowTable = FlowTable(), configuration: Configuration = Configuration()
    ) {
        self.taken = taken
        self.interval = interval
        self.interfaces = interfaces
        self.services = services
        self.flowTable = flowTable
        self.configuration = configuration
    }

    /// The generation that counts, and how it came about.
    public struct Configuration: Hashable, Sendable, Codable {
        public var generation: Int
        /// When it was applied, for whom and why: as ``Generation`` has it.
        public var applied: Date?
        public var by: String?
        public var cause: String?
        /// Why the last one that was asked for was refused, and when; nil: it was not.
        public var refusal: String?
        public var refused: Date?
        /// How many changes of configuration were refused since the start.
        public var refusals = 0
        /// How long the last change of any table took, in seconds.
        public var applySeconds: Double?
        /// Slot tables that were worked out since the start.
        public var tablesBuilt = 0

        public init(
            generation: Int = 0, applied: Date? = nil, by: String? = nil, cause: String? = nil
        ) {
            self.generation = generation
            self.applied = applied
            self.by = by
            self.cause = cause
        }
    }

    /// What is remembered of flows; docs/consistency.md.
    public struct FlowTable: Hashable, Sendable, Codable {
        /// As the last sweep found them.
        public var entries: Int
        public var capacity: Int
        /// Since the table was made.
        public var events: FlowEvents
        /// Whether it is so full that new flows make no entries.
        public var isFrozen: Bool
        public var states: States

        public init(
            entries: Int = 0, capacity: Int = 0, events: FlowEvents = FlowEvents(),
            isFrozen: Bool = false, states: States = States()
        ) {
            self.entries = entries
            self.capacity = capacity
            self.events = events
            self.isFrozen = isFrozen
            self.states = states
        }

        /// How many flows are recorded in each state, as the last sweep found them: the entries,
        /// and those of `full-nat`, which have ports of a NAT address in their place.
        public struct States: Hashable, Sendable, Codable {
            public var halfOpen = 0
            public var established = 0
            public var closing = 0
            public var datagrams = 0
            /// No flows, but which backend a client has.
            public var affinity = 0

            public init() {}

            init(_ report: SweepReport) {
                for flows in report.flows.values {
                    halfOpen += flows.halfOpen
                    established += flows.established
                    closing += flows.closing
                    datagrams += flows.datagrams
                }
                affinity = report.affinities
            }
        }
    }

    /// An interface of the configuration, or another one where the program runs.
    public struct Interface: Hashable, Sendable, Codable {
        public var name: String
        /// `native` or `generic`; nil: not known.
        public var mode: String?
        /// The kernel's number of the program, as `ip link` and `bpftool` show it; nil: none.
        public var program: UInt32?
        /// Why the program does not run there, in words; nil: it does.
        public var obstacle: String?

        public init(
            name: String, mode: String? = nil, program: UInt32? = nil, obstacle: String? = nil
        ) {
            self.name = name
            self.mode = mode
            self.program = program
            self.obstacle = obstacle
        }
    }

    /// A service with its backends.
    public struct Service: Hashable, Sendable, Codable {
        public var name: String
        /// `192.168.1.100`, `203.0.113.0/28`
        public var vip: String
        /// `80`, `80,443,8000-8100`, `any`
        public var ports: String
        public var transport: String
        public var scheduler: Scheduler
        public var forwarding: Forwarding
        /// How many slots the table has.
        public var slots: Int
        /// How many of them have no owner: packets for these are dropped.
        public var slotsWithoutOwner: Int
        /// How many are on their way from one owner to another: ``Slot/Phase``.
        public var moving = 0
        public var pinning = 0
        public var pinned = 0
        /// Whether so few backends are up that their health is ignored.
        public var isPanicking = false
        /// Whether the backups have the new flows, because nobody else can.
        public var usesBackup = false
        /// What arrived for it.
        public var traffic: Traffic
        /// In the order of the configuration; then those that have left it.
        public var backends: [Backend]

        /// Why the data plane is not up to date with what is told here; nil: it is.
        public var refusal: String?

        /// `192.168.1.100:80/tcp`, `[2001:db8::1]:any/udp`: as ``Frontend`` is written.
        public var key: String
    }

    /// A backend of a service.
    public struct Backend: Hashable, Sendable, Codable {
        public var name: String
        public var address: String
        /// Of its own; nil: it takes packets at the service's ports.
        public var port: UInt16?
        public var weight: UInt16
        /// The weight that the file says, if that is another one.
        public var weightOfFile: UInt16?
        public var health: Condition
        public var way: Way
        /// How many slots it owns, and which part of all slots that is.
        public var slots: Int
        public var share: Double
        /// How much of its share of new flows it is given, from 0 to 1: it may start slowly.
        public var readiness = 1.0
        /// Its open flows, as far as they are recorded; nil: the service's are not.
        public var flows: Int?
        /// So many it may have at most; nil: any number.
        public var maxConnections: UInt32?
        /// How long it takes to answer, in microseconds; nil: not known.
        public var latency: UInt32?
        /// Whether it gets new flows only while no other can.
        public var isBackup = false
        /// Whether it is not in the configuration any more, and keeps its flows until they end.
        public var isLeaving = false
        /// Nil: nobody has ordered it.
        public var drain: Drain?
        /// Nil: it is not being worked on.
        public var maintenance: Maintenance?
        /// What was forwarded to it.
        public var traffic: Traffic
    }

    /// That a backend gets no new flows, because an operator says so.
    public struct Drain: Hashable, Sendable, Codable {
        public var since: Date
        /// When the flows that are left are cut; nil: never.
        public var deadline: Date?
        /// Those that were cut then; nil: it has not come.
        public var cut: Int?
        /// Open flows that have been seen since; nil: they were not counted yet.
        public var flowsLeft: Int?
        /// In how many seconds none is left, if they go on to end as lately; nil: not known.
        public var secondsLeft: Double?
        /// Whether no flow is left, not even one that has been silent since: it may be removed.
        public var isOver: Bool
    }

    /// That a backend is being worked on, and gets no new flows.
    public struct Maintenance: Hashable, Sendable, Codable {
        public var since: Date
        /// As it was given; nil: none was.
        public var reason: String?
        public var by: String

        public init(since: Date, reason: String? = nil, by: String) {
            self.since = since
            self.reason = reason
            self.by = by
        }
    }

    /// What the probes say of a backend.
    public struct Condition: Hashable, Sendable, Codable {
        public var state: Health.State
        /// The finding of the last probe, in words.
        public var reason: String
        /// When it came into that state.
        public var since: Date
    }

    /// How packets reach a backend.
    public struct Way: Hashable, Sendable, Codable {
        /// The interface by which they leave; nil: it can't be reached.
        public var interface: String?
        /// The MAC address that they are sent to.
        public var neighbour: String?
        /// Why it can't be reached, in words.
        public var obstacle: String?
    }
}

extension Status.Service {
    init(
        _ service: Service, _ slots: SlotCensus, membership: Membership?, traffic: Traffic,
        backends: [Status.Backend]
    ) {
        self.init(
            name: service.name, vip: "\(service.vip.prefix)", ports: "\(service.ports)",
            transport: service.transport.name, scheduler: service.scheduler,
            forwarding: service.forwarding, slots: slots.count,
            slotsWithoutOwner: slots.withoutOwner, moving: slots.moving, pinning: slots.pinning,
            pinned: slots.pinned, isPanicking: membership?.isPanicking ?? false,
            usesBackup: membership?.usesBackup ?? false, traffic: traffic, backends: backends,
            key: "\(service.frontend)")
    }
}

extension Status.Way {
    init(_ reachability: Reachability?) {
        switch reachability {
        case .reachable(let hop):
            self.init(interface: hop.egress.name, neighbour: "\(hop.neighbour)", obstacle: nil)
        case .unreachable(let reason):
            self.init(interface: nil, neighbour: nil, obstacle: reason)
        case nil:
            self.init(interface: nil, neighbour: nil, obstacle: "the kernel is still asking for it")
        }
    }
}
