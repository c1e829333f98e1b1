public import Packets

/// The transport protocols that a service can have; the number is the one in the IP header.
public enum Transport: UInt8, Hashable, Sendable, CaseIterable, Codable {
    case tcp = 6
    case udp = 17

    /// As the configuration file writes it.
    public var name: String { self == .tcp ? "tcp" : "udp" }
}

/// How a service chooses among its backends.
public enum Scheduler: String, Hashable, Sendable, CaseIterable, Codable {
    /// By the hash of the flow, through a slot table.
    case maglev
    /// One after the other, as often as their weights say.
    case roundRobin = "round-robin"
    /// The one with the fewest open flows for its weight.
    case leastConnections = "least-connections"
    /// The one that, by the time of its answers and its open flows, answers soonest.
    case responseTime = "response-time"
}

/// What flows must have in common to get the same backend.
public enum Affinity: String, Hashable, Sendable, CaseIterable, Codable {
    /// The client's address.
    case client
}

/// How packets reach a backend.
public enum Forwarding: String, Hashable, Sendable, CaseIterable, Codable {
    /// The destination MAC address is rewritten; the backend answers the client directly.
    case l2DSR = "l2-dsr"
    /// The packet is carried inside another IP packet (RFC 2003, RFC 2473, RFC 4213).
    case ipip
    /// The packet is carried inside a UDP packet, without a header of its own in between
    /// (draft-ietf-intarea-gue-09 §4, variant 1): what tells flows apart is the source port.
    case gue
    /// The packet's destination becomes the backend's address and port; its answers come back
    /// through this node, which is the backend's router, and leave as the VIP's (RFC 3022 §2.2).
    case nat
    /// The same, and the source becomes a NAT address of this node's, so that answers come back
    /// whatever routes the backend has.
    case fullNAT = "full-nat"

    /// Whether the packet is carried inside another one, with addresses of its own.
    public var isTunnel: Bool {
        switch self {
        case .l2DSR, .nat, .fullNAT: false
        case .ipip, .gue: true
        }
    }

    /// Whether the packet gets other addresses and ports: backends may then have a port of their
    /// own, and their answers pass here.
    public var isTranslation: Bool {
        switch self {
        case .l2DSR, .ipip, .gue: false
        case .nat, .fullNAT: true
        }
    }

    /// Whether a backend of one family can serve a VIP of another.
    public func reaches(_ backend: IPFamily, from vip: IPFamily) -> Bool {
        isTunnel || backend == vip
    }
}

/// VIPs with ports and a protocol, and the backends that answer for them.
public struct Service: Hashable, Sendable {
    /// How people call it; unique in a configuration.
    public var name: String
    /// Services with the same prefix have the same settings for it.
    public var vip: VIP
    public var ports: Ports
    public var transport: Transport
    public var scheduler: Scheduler
    /// Nil: every flow is on its own.
    public var affinity: Affinity?
    /// How long a client keeps its backend after its last new flow. With ``Scheduler/maglev`` it is
    /// the hash that leads a client to its backend, and no time counts.
    public var affinityTimeout: Duration
    public var forwarding: Forwarding
    public var tunnel: Tunnel
    public var access: AccessList
    /// Whether flows of UDP are remembered; false: each datagram is a flow of its own. Nothing is
    /// said of TCP by that.
    public var tracking: Bool
    /// How long the flows of a slot that changes hands go where they went before unrecorded: most
    /// end in that time.
    public var hold: Duration
    /// The longest time for which a live connection is silent, as its ends are set up.
    public var keepAlive: Duration
    /// How long a recorded flow is kept without a packet, at most 8 hours.
    public var idleTimeout: Duration
    /// How long a backend takes from its first new flows to its full share; nil: no time.
    public var slowStart: Duration?
    /// With fewer backends up than this many percent, their health is ignored; nil: it never is.
    public var panicThreshold: Int?
    /// Nil: every backend counts as healthy.
    public var healthCheck: HealthCheck?
    /// In the order of the file, which means nothing to the slot table.
    public var backends: [Backend]

    public init(
        name: String, vip: VIP, ports: Ports, transport: Transport = .tcp,
        scheduler: Scheduler = .maglev, affinity: Affinity? = nil,
        affinityTimeout: Duration = Self.affinityTimeout, forwarding: Forwarding,
        tunnel: Tunnel = Tunnel(), access: AccessList = AccessList(), tracking: Bool = true,
        hold: Duration = Self.hold, keepAlive: Duration = Self.keepAlive,
        idleTimeout: Duration? = nil, slowStart: Duration? = nil, panicThreshold: Int? = nil,
        healthCheck: HealthCheck?, backends: [Backend]
    ) {
        self.name = name
        self.vip = vip
        self.ports = ports
        self.transport = transport
        self.scheduler = scheduler
        self.affinity = affinity
        self.affinityTimeout = affinityTimeout
        self.forwarding = forwarding
        self.tunnel = tunnel
        self.access = access
        self.tracking = tracking
        self.hold = hold
        self.keepAlive = keepAlive
        self.idleTimeout = idleTimeout ?? Self.idleTimeout(of: transport)
        self.slowStart = slowStart
        self.panicThreshold = panicThreshold
        self.healthCheck = healthCheck
        self.backends = backends
    }

    /// What a service has whose configuration does not say otherwise.
    public static let affinityTimeout = Duration.seconds(3600)
    public static let hold = Duration.seconds(3600)
    public static let keepAlive = Duration.seconds(900)

    /// TCP: after so long Linux, too, asks whether the other end is still there
    /// (`tcp_keepalive_time`); UDP: RFC 4787 (REQ-5).
    public static func idleTimeout(of transport: Transport) -> Duration {
        transport == .tcp ? .seconds(7200) : .seconds(300)
    }

    /// What clients address.
    public var frontend: Frontend {
        Frontend(vip: vip.prefix, ports: ports, transport: transport)
    }

    /// How `backend` is asked whether it serves; nil: it is not.
    public func healthCheck(of backend: Backend) -> HealthCheck? {
        guard var check = healthCheck else { return nil }
        if !check.isPortFixed, let port = backend.port { check.port = port }
        return check
    }
}

extension Service {
    /// How a plane is to choose a backend, and what it keeps of flows.
    public var selection: Selection {
        Selection(
            scheduler: scheduler, tracks: tracks, hasClientAffinity: affinity == .client,
            timesAnswers: timesAnswers)
    }

    /// Whether every flow has an entry in the flow table: those of UDP, of which a first datagram
    /// can't be told from a later one, and those of which the hash alone does not tell the backend.
    private var tracks: Bool {
        guard forwarding != .fullNAT else { return false }
        return transport == .udp && tracking || scheduler != .maglev
            || backends.contains { $0.maxConnections != nil }
    }

    /// Only where it is of use, and both ways pass here.
    private var timesAnswers: Bool {
        scheduler == .responseTime && transport == .tcp && forwarding.isTranslation
    }

    /// How long flows are remembered: none longer than a whole connection without a packet.
    public var flowLimits: FlowLimits {
        let standard = FlowLimits()
        return FlowLimits(
            halfOpen: min(standard.halfOpen, idleTimeout), established: idleTimeout,
            closing: min(standard.closing, idleTimeout), datagrams: idleTimeout,
            affinity: affinityTimeout)
    }
}

/// One server of a service.
public struct Backend: Hashable, Sendable {
    /// How people call it; unique in its service.
    public var name: String
    /// Unique in its service, and the same on every node: the identity the slot table uses.
    public var address: IPAddress
    /// Its share of new flows, relative to the other weights; 0 takes none.
    public var weight: UInt16
    /// Where it takes what is for the service; nil: at the port that the client addressed.
    /// Only where addresses and ports are translated.
    public var port: UInt16?
    /// With so many open flows it gets no new ones; nil: any number. At least 1.
    public var maxConnections: UInt32?
    /// Whether it gets new flows only while no other backend can have any.
    public var isBackup: Bool

    public init(
        name: String, address: IPAddress, weight: UInt16 = 1, port: UInt16? = nil,
        maxConnections: UInt32? = nil, isBackup: Bool = false
    ) {
        self.name = name
        self.address = address
        self.weight = weight
        self.port = port
        self.maxConnections = maxConnections
        self.isBackup = isBackup
    }
}

/// Where in the receive path the XDP program runs.
public enum AttachMode: String, Hashable, Sendable, CaseIterable, Codable {
    /// In the driver; refused where the driver can't.
    case native
    /// In the stack, after the kernel has allocated its buffer: works everywhere, slower.
    case generic
    /// Native where the driver can, else generic.
    case auto
}

/// Everything a node is asked to do: a configuration that passed all checks.
public struct DesiredState: Hashable, Sendable {
    /// Names of the interfaces on which packets for the VIPs arrive.
    public var interfaces: [String]
    public var attachMode: AttachMode
    /// Those that `full-nat` sends from, each once, in ascending order: nothing else does.
    public var natAddresses: [IPAddress]
    public var services: [Service]

    public init(
        interfaces: [String], attachMode: AttachMode = .native, natAddresses: [IPAddress] = [],
        services: [Service]
    ) {
        self.interfaces = interfaces
        self.attachMode = attachMode
        self.natAddresses = natAddresses
        self.services = services
    }
}
