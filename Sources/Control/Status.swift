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

    public init(
        taken: Date, interval: Double? = nil, interfaces: [Interface], services: [Service]
    ) {
        self.taken = taken
        self.interval = interval
        self.interfaces = interfaces
        self.services = services
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
        /// What arrived for it.
        public var traffic: Traffic
        /// In the order of the configuration.
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
        public var health: Condition
        public var way: Way
        /// How many slots it owns, and which part of all slots that is.
        public var slots: Int
        public var share: Double
        /// What was forwarded to it.
        public var traffic: Traffic
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
        _ service: Service, slots: Int, slotsWithoutOwner: Int, traffic: Traffic,
        backends: [Status.Backend]
    ) {
        self.init(
            name: service.name, vip: "\(service.vip.prefix)", ports: "\(service.ports)",
            transport: service.transport.name, scheduler: service.scheduler,
            forwarding: service.forwarding, slots: slots, slotsWithoutOwner: slotsWithoutOwner,
            traffic: traffic, backends: backends, key: "\(service.frontend)")
    }
}

extension Status.Backend {
    init(
        _ backend: Backend, health: Health?, way: Reachability?, slots: Int, of all: Int,
        traffic: Traffic
    ) {
        self.init(
            name: backend.name, address: "\(backend.address)", port: backend.port,
            weight: backend.weight,
            health: Status.Condition(
                state: health?.state ?? .unknown, reason: health?.finding ?? "not probed yet",
                since: health?.since ?? .distantPast),
            way: Status.Way(way), slots: slots, share: all == 0 ? 0 : Double(slots) / Double(all),
            traffic: traffic)
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
