/// How a backend is asked whether it serves, and how many answers change the mind.
public struct HealthCheck: Hashable, Sendable {
    /// What is asked.
    public enum Probe: Hashable, Sendable {
        /// A TCP connection is accepted.
        case tcp
        /// `GET path` is answered with a status from 200 to 299.
        ///
        /// `host` is the header of that name; nil: the backend's address and port.
        case http(path: String, host: String?)
    }

    public var probe: Probe
    /// The port that is asked, in the order of this machine.
    public var port: UInt16
    /// Whether backends with a port of their own are asked at `port`, too, and not at their own.
    public var isPortFixed: Bool
    /// From the start of one probe to the start of the next.
    public var interval: Duration
    /// After this long without an answer the probe has failed. At most `interval`.
    public var timeout: Duration
    /// Successes in a row that bring a backend up.
    public var rise: Int
    /// Failures in a row that take it down.
    public var fall: Int

    public init(
        probe: Probe, port: UInt16, isPortFixed: Bool = false, interval: Duration = .seconds(2),
        timeout: Duration = .seconds(1), rise: Int = 2, fall: Int = 3
    ) {
        self.probe = probe
        self.port = port
        self.isPortFixed = isPortFixed
        self.interval = interval
        self.timeout = timeout
        self.rise = rise
        self.fall = fall
    }
}

/// What one probe found.
public struct ProbeResult: Hashable, Sendable {
    public var isSuccess: Bool
    /// Whether the host has said anything: a wrong status, a refusal, garbage. False is to say that
    /// it may well be dead: nothing came in time, or there is no way to it. A probe that failed on
    /// this side says nothing of the host, and so does not say that.
    public var isAnswered: Bool
    /// In words, for a person: `HTTP 200`, `connection refused`, `no answer in 500 ms`.
    public var finding: String
    /// From the start of the probe to its end.
    public var latency: Duration

    public init(
        isSuccess: Bool, isAnswered: Bool = true, finding: String, latency: Duration
    ) {
        self.isSuccess = isSuccess
        self.isAnswered = isAnswered
        self.finding = finding
        self.latency = latency
    }
}
