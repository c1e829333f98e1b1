public import FoundationEssentials
public import Logging
import Synchronization

/// Logs what happens, keeps it for a while, and tells it to those who listen.
public final class EventLog: Sendable {
    private struct State {
        var kept: [Event] = []
        var last: UInt64
        var generation = 0
    }

    private let logger: Logger
    private let now: @Sendable () -> Date
    private let state: Mutex<State>
    private let listeners: Broadcast<Event>

    /// A listener who has so many yet to hear has fallen behind.
    private static let mostUnheard = 4096
    private static let mostKept = 1000

    public init(logger: Logger, now: @escaping @Sendable () -> Date = { .now }) {
        self.logger = logger
        self.now = now
        state = Mutex(State(last: Self.number(before: now())))
        listeners = Broadcast(.bufferingOldest(Self.mostUnheard))
    }

    /// Smaller than the number of every event of a controller that starts at `moment` or later:
    /// milliseconds and three digits more, so that a program that takes them for floating-point
    /// numbers still tells them apart.
    public static func number(before moment: Date) -> UInt64 {
        UInt64(max(0, moment.timeIntervalSince1970 * 1000)) * 1000
    }

    /// Those after the event `id` that are still known, and then those that happen; without an
    /// `id` only these. The stream of a listener who falls behind ends.
    public func events(after id: UInt64?) -> AsyncStream<Event> {
        state.withLock { state in
            let known = id.map { id in state.kept.filter { $0.id > id } } ?? []
            return listeners.stream(beginningWith: known)
        }
    }

    /// The generation that counts from now on: what is told belongs to it.
    func enter(generation: Int) { state.withLock { $0.generation = generation } }

    /// - Parameter service: That of `backend`, if it is about one.
    public func tell(
        _ level: Logger.Level, _ kind: Event.Kind, _ text: String,
        about backend: BackendReference? = nil, of service: String? = nil,
        metadata: Logger.Metadata = [:]
    ) {
        let service = backend?.service ?? service
        let generation = state.withLock { state in
            state.last += 1
            let event = Event(
                id: state.last, at: now(), kind: kind, generation: state.generation,
                service: service, backend: backend?.backend, text: text)
            if state.kept.count == Self.mostKept { state.kept.removeFirst() }
            state.kept.append(event)
            listeners.tell(event)
            return state.generation
        }
        var metadata = metadata
        metadata["event"] = "\(kind.rawValue)"
        metadata.place(service, backend, generation)
        logger.log(level: level, "\(text)", metadata: metadata)
    }

    /// What goes wrong, is tried again, and is nothing that others have to hear of.
    public func log(trouble text: String, about backend: BackendReference? = nil) {
        var metadata: Logger.Metadata = [:]
        metadata.place(backend?.service, backend, state.withLock(\.generation))
        logger.error("\(text)", metadata: metadata)
    }
}

extension Logger.Metadata {
    /// What every line of an incident carries.
    fileprivate mutating func place(
        _ service: String?, _ backend: BackendReference?, _ generation: Int
    ) {
        self["generation"] = "\(generation)"
        self["service"] = service.map { "\($0)" }
        self["backend"] = backend.map { "\($0.backend)" }
    }
}
