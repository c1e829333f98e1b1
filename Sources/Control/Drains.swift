public import FoundationEssentials

/// That a backend gets no new flows: because an operator says so, or because it is not in the
/// configuration any more.
public struct Drain: Hashable, Sendable, Codable {
    public var service: String
    /// As it is called now; what it is known by is its address.
    public var backend: String
    public var address: String
    public var since: Date
    /// When the flows that are left are cut; nil: never.
    public var deadline: Date?
    /// How many flows were cut at the deadline; nil: it has not come.
    public var cut: Int?
    /// Whether nobody has ordered it: it ends when the configuration has the backend again.
    public var isForLeaving: Bool

    public init(
        service: String, backend: String, address: String, since: Date, deadline: Date? = nil,
        cut: Int? = nil, isForLeaving: Bool = false
    ) {
        self.service = service
        self.backend = backend
        self.address = address
        self.since = since
        self.deadline = deadline
        self.cut = cut
        self.isForLeaving = isForLeaving
    }

    var reference: BackendReference { BackendReference(service, backend) }
}

/// How many flows a backend had left, lately.
struct DrainProgress: Sendable {
    private var readings: [(taken: Date, left: Int)] = []

    /// So long ago is lately.
    static let window: TimeInterval = 60

    /// Whether not even flows are left that their client has closed: it may go on to receive.
    private(set) var isEmpty = false

    /// - Parameters:
    ///   - left: Open flows.
    ///   - closing: Those that the client has closed.
    mutating func take(_ left: Int, closing: Int = 0, at moment: Date) {
        isEmpty = left + closing == 0
        readings.append((moment, left))
        readings.removeAll { moment.timeIntervalSince($0.taken) > Self.window }
    }

    var left: Int? { readings.last?.left }

    /// In how many seconds none is left, if they go on to end as lately; nil: that can't be said.
    var estimate: Double? {
        // Before, those that were silent at first were found.
        let most = readings.map(\.left).max()
        guard let first = readings.last(where: { $0.left == most }), let last = readings.last,
            first.left > last.left
        else { return readings.last?.left == 0 ? 0 : nil }
        let seconds = last.taken.timeIntervalSince(first.taken)
        return seconds > 0 ? Double(last.left) * seconds / Double(first.left - last.left) : nil
    }
}
