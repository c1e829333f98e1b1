public import FoundationEssentials

/// What is known of a backend's health: a state machine fed with the results of probes.
///
/// Pure: it has no clock and does no I/O; who feeds it says when.
public struct Health: Hashable, Sendable {
    /// What the backend is taken for.
    public enum State: String, Hashable, Sendable, Codable {
        /// Not probed yet: gets no flows.
        case unknown
        case up
        case down
    }

    /// A change of state, with its cause in words.
    public struct Transition: Hashable, Sendable {
        public let from: State
        public let to: State
        public let cause: String
    }

    public private(set) var state: State
    /// The finding of the last probe, or why there was none.
    public private(set) var finding: String
    /// When it came into that state.
    public private(set) var since: Date
    /// Whether it is down and the last results that it takes to go down were all without an answer:
    /// the host, not only the service, is taken for dead.
    public private(set) var isSilent = false
    /// How long successful probes take, in microseconds: at once as long as the longest, and then
    /// an eighth of the way to each shorter one (peak EWMA). Nil: none was successful yet.
    public private(set) var latency: UInt32?
    /// Results in a row that speak against the state.
    private var contrary = 0
    /// Results in a row without an answer.
    private var unanswered = 0

    /// Begins with `state` at the moment `since`, for the reason `finding`.
    ///
    /// A service without a health check begins and stays ``State/up``; a controller that takes
    /// over from another begins with what the data plane shows.
    public init(state: State, because finding: String, since: Date) {
        self.state = state
        self.finding = finding
        self.since = since
    }

    /// Takes the result of a probe that ended at `moment` into account; returns the change that it
    /// brought about, if any.
    ///
    /// The first result of an unknown backend decides at once. After that it takes `rise`
    /// successes in a row to come up and `fall` failures in a row to go down.
    ///
    /// - Parameter othersAnswer: Whether another host has answered since the result before. If
    ///   none has, silence may as well be our own, and tells nothing of this one.
    public mutating func take(
        _ result: ProbeResult, at moment: Date, rise: Int, fall: Int, othersAnswer: Bool = true
    ) -> Transition? {
        finding = result.finding
        if result.isSuccess { takeLatency(result.latency) }
        if result.isAnswered {
            unanswered = 0
        } else if othersAnswer {
            unanswered += 1
        }
        let transition = move(towards: result.isSuccess ? .up : .down, at: moment, rise, fall)
        isSilent = state == .down && unanswered >= max(2, fall)
        return transition
    }

    private mutating func move(
        towards told: State, at moment: Date, _ rise: Int, _ fall: Int
    ) -> Transition? {
        guard told != state else {
            contrary = 0
            return nil
        }
        contrary += 1
        let needed = state == .unknown ? 1 : told == .up ? rise : fall
        guard contrary >= needed else { return nil }
        let transition = Transition(from: state, to: told, cause: finding)
        state = told
        since = moment
        contrary = 0
        return transition
    }

    private mutating func takeLatency(_ duration: Duration) {
        let sample = UInt32(clamping: max(1, Int64(duration / .microseconds(1))))
        let excess = max(latency ?? 0, sample) - sample
        // An eighth of it, rounded up, so that it gets there.
        latency = sample + excess - (excess / 8 + (excess % 8 == 0 ? 0 : 1))
    }
}
