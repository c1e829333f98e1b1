/// Some of the recorded flows, with names.
public struct FlowPage: Hashable, Sendable, Codable {
    public struct Flow: Hashable, Sendable, Codable {
        public var service: String
        public var backend: String
        /// `half-open`, `established`, `closing`, `datagrams`, `affinity`
        public var state: String
        public var slot: Int?
        /// For so many seconds no packet has come, at least.
        public var idle: Double
        /// `198.51.100.7:41000`; nil: only a fingerprint of it is recorded.
        public var client: String?
        /// As which it goes on: `192.0.2.1:1024`; nil: it keeps its source.
        public var nat: String?

        public init(
            service: String, backend: String, state: String, slot: Int? = nil, idle: Double,
            client: String? = nil, nat: String? = nil
        ) {
            self.service = service
            self.backend = backend
            self.state = state
            self.slot = slot
            self.idle = idle
            self.client = client
            self.nat = nat
        }
    }

    public var flows: [Flow]
    /// Where the next page begins; nil: there is none.
    public var next: UInt64?

    public init(flows: [Flow], next: UInt64?) {
        self.flows = flows
        self.next = next
    }
}

/// Which of the recorded flows somebody wants to see, by names.
public struct FlowFilter: Hashable, Sendable {
    /// Nil: of any.
    public var service: String?
    public var backend: String?
    public var state: String?
    /// Where the page before ended; 0: from the beginning.
    public var cursor: UInt64
    /// At most ``mostFlows``.
    public var limit: Int

    public static let mostFlows = 1000

    public init(
        service: String? = nil, backend: String? = nil, state: String? = nil, cursor: UInt64 = 0,
        limit: Int = 100
    ) {
        self.service = service
        self.backend = backend
        self.state = state
        self.cursor = cursor
        self.limit = limit
    }
}
