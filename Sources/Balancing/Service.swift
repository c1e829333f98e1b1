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

    /// Whether a backend of one family can serve a VIP of another.
    public func reaches(_ backend: IPFamily, from vip: IPFamily) -> Bool {
        switch self {
        case .l2DSR: backend == vip
        case .ipip, .gue: true
        }
    }
}

/// What a client addresses, and so what tells one service from another.
public struct ServiceKey: Hashable, Sendable {
    /// The virtual IP.
    public let vip: IPAddress
    /// The port in the order of this machine; nil for any port.
    public let port: UInt16?
    public let transport: Transport

    public init(vip: IPAddress, port: UInt16?, transport: Transport) {
        self.vip = vip
        self.port = port
        self.transport = transport
    }
}

extension ServiceKey: CustomStringConvertible {
    /// `192.168.1.100:80/tcp`, `[2001:db8::1]:any/udp`
    public var description: String {
        let host = vip.family == .v4 ? "\(vip)" : "[\(vip)]"
        return "\(host):\(port.map(String.init) ?? "any")/\(transport.name)"
    }
}

/// A VIP with a port and a protocol, and the backends that answer for it.
public struct Service: Hashable, Sendable {
    /// How people call it; unique in a configuration.
    public var name: String
    public var key: ServiceKey
    public var scheduler: Scheduler
    public var forwarding: Forwarding
    /// The UDP port on which backends take GUE; of no meaning in other modes.
    public var tunnelPort: UInt16
    /// Who may use it.
    public var access: AccessList
    /// Nil: every backend counts as healthy.
    public var healthCheck: HealthCheck?
    /// In the order of the file, which means nothing to the slot table.
    public var backends: [Backend]

    public init(
        name: String, key: ServiceKey, scheduler: Scheduler = .maglev, forwarding: Forwarding,
        tunnelPort: UInt16 = Self.standardTunnelPort, access: AccessList = AccessList(),
        healthCheck: HealthCheck?, backends: [Backend]
    ) {
        self.name = name
        self.key = key
        self.scheduler = scheduler
        self.forwarding = forwarding
        self.tunnelPort = tunnelPort
        self.access = access
        self.healthCheck = healthCheck
        self.backends = backends
    }
}

extension Service {
    /// The port that IANA has for GUE.
    public static let standardTunnelPort: UInt16 = 6080
}

/// One server of a service.
public struct Backend: Hashable, Sendable {
    /// How people call it; unique in its service.
    public var name: String
    /// Unique in its service, and the same on every node: the identity the slot table uses.
    public var address: IPAddress
    /// Its share of new flows, relative to the other weights; 0 takes none.
    public var weight: UInt16

    public init(name: String, address: IPAddress, weight: UInt16 = 1) {
        self.name = name
        self.address = address
        self.weight = weight
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
    public var services: [Service]

    public init(interfaces: [String], attachMode: AttachMode = .native, services: [Service]) {
        self.interfaces = interfaces
        self.attachMode = attachMode
        self.services = services
    }
}
