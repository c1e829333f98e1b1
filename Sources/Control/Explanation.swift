public import Balancing
public import Packets

/// A packet that might come, of which somebody wants to know where it would go.
public struct ExplainQuery: Hashable, Sendable {
    public var source: IPAddress
    public var sourcePort: UInt16
    public var destination: IPAddress
    public var destinationPort: UInt16
    public var transport: Transport
    /// Whether it is the first one of its flow; always so with UDP.
    public var isNewFlow: Bool
    /// By which it comes; nil: the first of the configuration.
    public var interface: String?

    public init(
        source: IPAddress, sourcePort: UInt16, destination: IPAddress, destinationPort: UInt16,
        transport: Transport = .tcp, isNewFlow: Bool = false, interface: String? = nil
    ) {
        self.source = source
        self.sourcePort = sourcePort
        self.destination = destination
        self.destinationPort = destinationPort
        self.transport = transport
        self.isNewFlow = isNewFlow
        self.interface = interface
    }
}

/// Where a packet would go now, and why.
public struct Explanation: Hashable, Sendable, Codable {
    /// One thing that decides, in the order in which they do: `service`, `source`, `access`,
    /// `hash`, `slot`, `pin`, `backend`, `NAT`, `next hop`, `packet`; those that matter.
    public struct Step: Hashable, Sendable, Codable {
        public var name: String
        /// What was found, in words.
        public var finding: String
        /// Why it is so, in words; nil: nothing to add.
        public var reason: String?

        public init(_ name: String, _ finding: String, because reason: String? = nil) {
            self.name = name
            self.finding = finding
            self.reason = reason
        }
    }

    /// `FORWARD_L2_DSR`
    public var verdict: String
    /// The same in words.
    public var text: String
    public var service: String?
    public var slot: Int?
    public var phase: String?
    public var owner: String?
    public var formerOwner: String?
    /// The state of its entry in the flow table; nil: it has none.
    public var pin: String?
    public var backend: String?
    public var forwarding: Forwarding?
    /// `eth1`, and the MAC address behind it.
    public var interface: String?
    public var neighbour: String?
    /// The frame as it would leave, in hexadecimal digits; nil: it would not.
    public var packet: String?
    public var steps: [Step]
    /// Whether the program itself makes the same of the packet.
    public var isConfirmed: Bool
    /// What the program makes of it, if that is something else, or why it was not asked.
    public var contradiction: String?

    public init(verdict: String, text: String, steps: [Step] = [], isConfirmed: Bool = false) {
        self.verdict = verdict
        self.text = text
        self.steps = steps
        self.isConfirmed = isConfirmed
    }
}

/// What keeps a backend from new flows, or from some of them.
public struct Exclusion: Hashable, Sendable, Codable {
    public struct Reason: Hashable, Sendable, Codable {
        /// `health`, `drain`, `maintenance`, `weight`, `next hop`, `backup`, `slow start`,
        /// `limit`, `panic`, `leaving`, `refusal`, `share`
        public var name: String
        /// In words, with what ends it.
        public var text: String

        public init(_ name: String, _ text: String) {
            self.name = name
            self.text = text
        }
    }

    public var service: String
    public var backend: String
    /// Which part of the new flows it gets, from 0 to 1.
    public var share: Double
    /// Whether it gets none.
    public var isOut: Bool
    public var reasons: [Reason]

    public init(
        service: String, backend: String, share: Double, isOut: Bool, reasons: [Reason]
    ) {
        self.service = service
        self.backend = backend
        self.share = share
        self.isOut = isOut
        self.reasons = reasons
    }
}
