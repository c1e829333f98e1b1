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
    /// Results in a row that speak against the state.
    private var contrary = 0

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
    public mutating func take(
        _ result: ProbeResult, at moment: Date, rise: Int, fall: Int
    ) -> Transition? {
        finding = result.finding
        let told: State = result.isSuccess ? .up : .down
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
}
