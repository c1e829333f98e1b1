public import Packets

/// Which of the recorded flows somebody wants to see, and from where on.
public struct FlowQuery: Hashable, Sendable {
    /// Nil: of all backends.
    public var backends: Set<BackendID>?
    /// Nil: in any state.
    public var states: Set<RecordedFlow.State>?
    /// Where the page before ended; 0: from the beginning.
    public var cursor: UInt64
    /// How many at most.
    public var limit: Int

    public init(
        backends: Set<BackendID>? = nil, states: Set<RecordedFlow.State>? = nil,
        cursor: UInt64 = 0, limit: Int = 100
    ) {
        self.backends = backends
        self.states = states
        self.cursor = cursor
        self.limit = limit
    }
}

/// A flow as a plane has recorded it.
///
/// The flow table knows flows by fingerprints, not by addresses; those of `full-nat` have a place
/// of their own, which knows them by their addresses.
public struct RecordedFlow: Hashable, Sendable {
    public enum State: String, Hashable, Sendable, Codable, CaseIterable {
        case halfOpen = "half-open"
        case established
        case closing
        case datagrams
        /// That a client keeps to a backend.
        case affinity
    }

    public var backend: BackendID
    public var state: State
    /// Of its service; nil: it has none.
    public var slot: Int?
    /// For so long no packet has come, at least.
    public var idle: Duration
    /// Whose it is, and as which NAT address and port it goes on; nil: not recorded.
    public var client: IPAddress?
    public var clientPort: UInt16?
    public var natAddress: IPAddress?
    public var natPort: UInt16?

    public init(backend: BackendID, state: State, slot: Int? = nil, idle: Duration) {
        self.backend = backend
        self.state = state
        self.slot = slot
        self.idle = idle
    }
}

/// A part of the recorded flows, and where the next part begins.
public struct RecordedFlows: Hashable, Sendable {
    public var flows: [RecordedFlow]
    /// Nil: that was the last part.
    public var next: UInt64?

    public init(flows: [RecordedFlow], next: UInt64?) {
        self.flows = flows
        self.next = next
    }
}
