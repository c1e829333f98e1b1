/// What forwards the packets: the kernel, by whatever means.
///
/// One owner at a time asks it to change; the ``Plan`` decides in which order.
public protocol DataPlane: Sendable {
    /// What it holds now, as a controller that has just started must know.
    func contents() throws -> PlaneContents

    /// Does one step of a plan, whole or not at all.
    func apply(_ step: Step) throws

    /// What it has counted since it was made.
    func counters() throws -> PlaneCounters

    /// The flows that are open at these of its NAT addresses: neither ended nor idle for too long.
    func natUse(at addresses: Set<NATAddressID>) throws -> NATUse

    /// Goes through all recorded flows: removes what is over, and tells what it found.
    func sweep(_ orders: SweepOrders) throws -> SweepReport

    /// Some of the recorded flows, from where a page before ended. What is there all the time is
    /// told exactly once; a page may be empty and yet have a next one, for a call looks at a
    /// bounded number of places.
    func flows(_ query: FlowQuery) throws -> RecordedFlows

    /// What happened in the flow table since it was made.
    func flowEvents() throws -> FlowEvents

    /// Has new flows make no entries, and go where they need none; or ends that.
    func freeze(_ isFrozen: Bool) throws

    /// Tells how long these backends take to answer, in microseconds; 1 where only the number of
    /// flows is to count.
    func setLatency(_ latency: [BackendID: UInt32]) throws

    /// What is measured of each backend now.
    func loads() throws -> [BackendID: MeasuredLoad]
}

/// What the data path measures of a backend.
public struct MeasuredLoad: Hashable, Sendable {
    /// Open ones; the last sweep set the number right.
    public var flows: UInt32
    /// How long it takes to answer, in microseconds.
    public var latency: UInt32

    public init(flows: UInt32 = 0, latency: UInt32 = 1) {
        self.flows = flows
        self.latency = latency
    }
}

/// The number by which a plane knows a service; never 0.
public struct ServiceID: Hashable, Comparable, Sendable {
    public let number: UInt32
    public init(_ number: UInt32) { self.number = number }
    public static func < (left: Self, right: Self) -> Bool { left.number < right.number }
}

/// The number by which a plane knows a backend of one service; never 0.
public struct BackendID: Hashable, Comparable, Sendable {
    public let number: UInt16
    public init(_ number: UInt16) { self.number = number }
    public static func < (left: Self, right: Self) -> Bool { left.number < right.number }
}

/// Packets and bytes; bytes are those of the frames as they were received.
public struct Count: Hashable, Sendable, Codable {
    public var packets: UInt64
    public var bytes: UInt64
    /// New flows: TCP packets with SYN and without ACK; of services and backends only.
    public var flows: UInt64

    public init(packets: UInt64 = 0, bytes: UInt64 = 0, flows: UInt64 = 0) {
        self.packets = packets
        self.bytes = bytes
        self.flows = flows
    }

    public static func += (left: inout Count, right: Count) {
        left.packets += right.packets
        left.bytes += right.bytes
        left.flows += right.flows
    }
}

/// What a plane has counted.
public struct PlaneCounters: Hashable, Sendable {
    /// What became of packets, in one way.
    public struct Verdict: Hashable, Sendable, Codable {
        /// `DROP_NO_BACKEND`: the first word says what the kernel was told to do.
        public var name: String
        /// The same in words.
        public var text: String
        public var count: Count

        public init(name: String, text: String, count: Count) {
            self.name = name
            self.text = text
            self.count = count
        }
    }

    /// In the order of the data path; they sum to the packets received.
    public var verdicts: [Verdict]
    /// What arrived for a service.
    public var services: [ServiceID: Count]
    /// What was forwarded to a backend.
    public var backends: [BackendID: Count]

    public init(
        verdicts: [Verdict], services: [ServiceID: Count], backends: [BackendID: Count]
    ) {
        self.verdicts = verdicts
        self.services = services
        self.backends = backends
    }

    /// The packets received: the sum over all verdicts.
    public var received: Count { verdicts.reduce(into: Count()) { $0 += $1.count } }
}
