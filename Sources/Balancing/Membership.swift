public import FoundationEssentials

/// Which backends of a service may get new flows, and how many, at a moment.
///
/// A function of what is known of them, without memory: two that know the same say the same.
public struct Membership: Hashable, Sendable {
    /// What an operator has ordered for a backend.
    public enum Administration: String, Hashable, Sendable, CaseIterable, Codable {
        case none
        /// It gets no new flows, and keeps those that it has until they end.
        case draining
        /// The same, without an end.
        case maintenance
    }

    /// What is known of one backend.
    public struct Condition: Hashable, Sendable {
        /// Its settings; of one that is leaving, those that it had.
        public var backend: Backend
        public var health: Health.State
        /// ``Health/isSilent``
        public var isSilent: Bool
        public var hasNextHop: Bool
        public var administration: Administration
        /// Whether it is not in the configuration any more.
        public var isLeaving: Bool
        /// Since when it could have new flows; nil: for longer than anybody knows.
        public var servesSince: Date?

        public init(
            _ backend: Backend, health: Health.State, isSilent: Bool = false,
            hasNextHop: Bool = true, administration: Administration = .none,
            isLeaving: Bool = false, servesSince: Date? = nil
        ) {
            self.backend = backend
            self.health = health
            self.isSilent = isSilent
            self.hasNextHop = hasNextHop
            self.administration = administration
            self.isLeaving = isLeaving
            self.servesSince = servesSince
        }
    }

    /// What follows for one backend.
    public struct Standing: Hashable, Sendable {
        /// How much of its share of new flows it gets, in 1/256; 0: it gets none.
        public var readiness: UInt16
        /// Whether its flows can't live: it is dead.
        public var isLost: Bool
        /// Whether it leaves, but goes on with what it has while nobody else can serve.
        public var standsIn: Bool

        public init(readiness: UInt16, isLost: Bool = false, standsIn: Bool = false) {
            self.readiness = readiness
            self.isLost = isLost
            self.standsIn = standsIn
        }
    }

    /// In the order of the conditions.
    public var standings: [Standing]
    /// Whether so few are up that their health is ignored.
    public var isPanicking: Bool
    /// Whether the backups have the new flows, because nobody else can.
    public var usesBackup: Bool
    /// Whether those that leave keep new flows, because nobody else can have them.
    public var usesLeavers: Bool { standings.contains(where: \.standsIn) }
    /// When it will be another one, if nothing else changes; nil: never.
    public var nextChange: Date?

    /// Judges backends of `service`, those that leave it among them.
    ///
    /// - A backend that is not up gets no new flows, unless so few are up that the service panics:
    ///   then it ignores health, for so many are seldom ill at once, and the few could not bear the
    ///   flows of all. One that was not asked yet may be up; those that could not serve in any case
    ///   don't count.
    /// - Backups serve while no other backend does. With all others down they, and no panic, are
    ///   what helps.
    /// - A backend that joins others that have served for long starts slowly. Those that begin
    ///   together don't: nobody else would bear the flows meanwhile.
    /// - One that is well and leaves goes on while no other can serve: those that take its place
    ///   may not have been asked yet, and may be no better.
    public init(of service: Service, _ conditions: [Condition], at moment: Date) {
        let regular = conditions.filter { !$0.backend.isBackup && $0.isAvailable }
        let hasBackup = conditions.contains { $0.backend.isBackup && $0.isUp }
        let isPanicking =
            (!hasBackup || regular.contains(where: \.isUp))
            && panics(regular, threshold: service.panicThreshold)
        // At the start, what other backends are is found out in a moment.
        // Unless the backups serve already: then this is not the start, but a restart.
        let isStart =
            !regular.isEmpty && regular.allSatisfy { $0.health == .unknown }
            && !conditions.contains {
                $0.backend.isBackup && $0.isUp && $0.start == .distantPast
            }
        let usesBackup =
            hasBackup && !isStart && !isPanicking && !regular.contains(where: \.isUp)
        let members = conditions.map { condition in
            condition.backend.isBackup == usesBackup
                && (isPanicking ? condition.isAvailable : condition.isUp)
        }
        let starts = zip(conditions, members).filter(\.1).map { $0.0.start }
        let slowly = isPanicking ? nil : SlowStart(service.slowStart, after: starts.min())
        let isDeserted = !members.contains(true)
        standings = zip(conditions, members).map { condition, isMember in
            Standing(
                readiness: isMember
                    ? slowly?.readiness(of: condition.start, at: moment) ?? Self.fully : 0,
                isLost: service.healthCheck != nil && !isPanicking && condition.isDead,
                standsIn: isDeserted && condition.canStandIn)
        }
        nextChange = starts.compactMap { slowly?.nextStep(of: $0, at: moment) }.min()
        self.isPanicking = isPanicking
        self.usesBackup = usesBackup
    }

    /// The readiness of a backend that gets its whole share.
    public static let fully: UInt16 = 256
}

extension Membership.Condition {
    /// Whether it could have new flows, were it healthy.
    fileprivate var isAvailable: Bool {
        hasNextHop && administration == .none && !isLeaving && backend.weight > 0
    }

    fileprivate var isUp: Bool { isAvailable && health == .up }

    fileprivate var canStandIn: Bool {
        isLeaving && hasNextHop && health == .up && administration != .maintenance
    }

    /// A dead host in our own network loses its next hop as well.
    fileprivate var isDead: Bool { health == .down && isSilent }

    fileprivate var start: Date { servesSince ?? .distantPast }
}

/// Whether too few of these backends, which are all that could be chosen, may be up.
private func panics(_ available: [Membership.Condition], threshold: Int?) -> Bool {
    let up = available.count { $0.health != .down }
    return up * 100 < (threshold ?? 0) * available.count
}

/// How the share of a backend grows that joins others.
private struct SlowStart {
    let duration: TimeInterval
    /// Who starts before that is one of those who begin together.
    let opening: Date

    /// Nil: no backend starts slowly.
    ///
    /// - Parameter first: When the first of the backends began that serve.
    init?(_ duration: Duration?, after first: Date?) {
        guard let duration, let first else { return nil }
        self.duration = duration / .seconds(1)
        opening = first + self.duration
    }

    private static let steps = 16

    /// When a backend that started then takes the step after so many.
    ///
    /// One expression for both questions below: so a step that was waited for has been taken.
    private func moment(of step: Int, from start: Date) -> Date {
        start + duration * Double(step) / Double(Self.steps - 1)
    }

    /// The steps that a backend that started then has taken; the first is taken at the start.
    private func steps(from start: Date, at moment: Date) -> Int {
        guard start >= opening else { return Self.steps }
        return 1 + (1..<Self.steps).prefix { self.moment(of: $0, from: start) <= moment }.count
    }

    func readiness(of start: Date, at moment: Date) -> UInt16 {
        Membership.fully / UInt16(Self.steps) * UInt16(steps(from: start, at: moment))
    }

    func nextStep(of start: Date, at moment: Date) -> Date? {
        let taken = steps(from: start, at: moment)
        return taken < Self.steps ? self.moment(of: taken, from: start) : nil
    }
}
