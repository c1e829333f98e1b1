import Synchronization

/// Says when each request is due and when there are enough; asked by several workers at once.
final class Pace: Sendable {
    /// A request that is due.
    struct Turn: Hashable, Sendable {
        /// Counted from 1.
        let number: Int
        /// Not to be sent before this.
        let start: ContinuousClock.Instant
    }

    private let limit: Int
    private let interval: Duration
    private let begin: ContinuousClock.Instant
    private let end: ContinuousClock.Instant?
    private let handedOut = Mutex(0)
    private let isOver = Atomic(false)

    /// - Parameters:
    ///   - limit: How many requests at most.
    ///   - rate: How many a second at most; nil: as many as the workers manage.
    ///   - length: No request is due after this.
    init(limit: Int?, rate: Double?, length: Duration?, begin: ContinuousClock.Instant = .now) {
        self.limit = limit ?? .max
        interval = rate.map { .seconds(1 / $0) } ?? .zero
        self.begin = begin
        end = length.map { begin + $0 }
    }

    /// The next request; nil when there are enough.
    func next(now: ContinuousClock.Instant = .now) -> Turn? {
        guard !isOver.load(ordering: .relaxed) else { return nil }
        return handedOut.withLock { count in
            let start = max(now, begin + interval * count)
            guard count < limit, end.map({ start < $0 }) ?? true else { return nil }
            count += 1
            return Turn(number: count, start: start)
        }
    }

    /// From now on nothing is due.
    func stop() { isOver.store(true, ordering: .relaxed) }
}
