/// How a service finds a backend for a new flow, and what it remembers of it.
public struct Selection: Hashable, Sendable {
    public var scheduler: Scheduler
    /// Whether every flow has an entry in the flow table. Never with `full-nat`, where every flow
    /// has a port of a NAT address.
    public var tracks: Bool
    /// Whether new flows of one client go to one backend.
    public var hasClientAffinity: Bool
    /// Whether the time from SYN to SYN-ACK is measured, where both pass here.
    public var timesAnswers: Bool

    public init(
        scheduler: Scheduler = .maglev, tracks: Bool = false, hasClientAffinity: Bool = false,
        timesAnswers: Bool = false
    ) {
        self.scheduler = scheduler
        self.tracks = tracks
        self.hasClientAffinity = hasClientAffinity
        self.timesAnswers = timesAnswers
    }

    /// The same as a plane tells it: both schedulers that compare costs are one to it, and differ
    /// in the latency that it is given.
    public var held: Selection {
        var held = self
        if scheduler == .responseTime { held.scheduler = .leastConnections }
        return held
    }
}
