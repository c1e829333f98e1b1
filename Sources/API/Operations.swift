public import Control
public import FoundationEssentials

/// What a controller tells, and does when it is asked to: all that the API offers.
///
/// What is refused throws a ``Control/Refusal``, and has changed nothing.
public protocol Operations: Sendable {
    /// The generation that counts now.
    func generation() async -> Int

    // MARK: What it tells

    func status() async throws -> Status
    func counters() async throws -> CountersReport
    func flows(_ filter: FlowFilter) async throws -> FlowPage
    func explain(_ query: ExplainQuery) async throws -> Explanation
    func exclusion(of backend: BackendReference) async throws -> Exclusion
    /// Those after the event `id` that are still known, and then those that happen. A listener who
    /// falls behind is let go.
    func events(after id: UInt64?) async -> AsyncStream<Event>
    /// In the text format of Prometheus.
    func metrics() async throws -> String

    // MARK: The configuration

    /// The one that counts now, with all that it is made of.
    func configuration() async throws -> Generation
    /// The newest first, without what they are made of.
    func history() async throws -> [Generation]
    func generation(_ number: Int) async throws -> Generation
    func plan(_ proposal: Proposal) async throws -> PlanReport
    /// Carries it out, and returns what counts then; the present one if nothing changes.
    func apply(_ proposal: Proposal, _ order: ChangeOrder) async throws -> Generation

    // MARK: Orders

    func drain(_ backend: BackendReference, _ drain: DrainOrder, _ order: ChangeOrder) async throws
    func undrain(_ backend: BackendReference, _ order: ChangeOrder) async throws
    /// Takes a backend out of service for as long as it takes, with no alarm about its health; or
    /// ends that.
    func maintain(
        _ backend: BackendReference, _ maintenance: MaintenanceOrder?, _ order: ChangeOrder
    ) async throws
}

/// How a backend is to be drained: the body of a `PUT`.
public struct DrainOrder: Hashable, Sendable, Codable {
    /// When the flows that are left are cut; nil: never.
    public var deadline: Date?
    /// Whether it may be the last backend of its service that serves.
    public var isForced: Bool

    public init(deadline: Date? = nil, isForced: Bool = false) {
        self.deadline = deadline
        self.isForced = isForced
    }

    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        deadline = try fields.decodeIfPresent(Date.self, forKey: .deadline)
        isForced = try fields.decodeIfPresent(Bool.self, forKey: .isForced) ?? false
    }
}

/// That a backend is being worked on: the body of a `PUT`.
public struct MaintenanceOrder: Hashable, Sendable, Codable {
    /// For those who look at the status: `disk is replaced`.
    public var reason: String?
    /// Whether it may be the last backend of its service that serves.
    public var isForced: Bool

    public init(reason: String? = nil, isForced: Bool = false) {
        self.reason = reason
        self.isForced = isForced
    }

    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        reason = try fields.decodeIfPresent(String.self, forKey: .reason)
        isForced = try fields.decodeIfPresent(Bool.self, forKey: .isForced) ?? false
    }
}

/// Another weight than the file's: the body of a `PUT`.
public struct WeightOrder: Hashable, Sendable, Codable {
    public var weight: UInt16

    public init(_ weight: UInt16) { self.weight = weight }
}

/// Which generation to go back to: the body of a `POST`.
public struct RollbackOrder: Hashable, Sendable, Codable {
    /// Nil: to the one before this.
    public var generation: Int?

    public init(to generation: Int? = nil) { self.generation = generation }
}
