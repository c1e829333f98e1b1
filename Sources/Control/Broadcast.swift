import Synchronization

/// Tells values to all that listen at the time.
public final class Broadcast<Value: Sendable>: Sendable {
    private struct State {
        var listeners: [Int: AsyncStream<Value>.Continuation] = [:]
        var last = 0
    }

    private let state = Mutex(State())
    private let policy: AsyncStream<Value>.Continuation.BufferingPolicy

    /// - Parameter policy: What becomes of values that a listener has not taken yet. With
    ///   `bufferingOldest` one that has fallen so far behind hears the end.
    public init(_ policy: AsyncStream<Value>.Continuation.BufferingPolicy) { self.policy = policy }

    /// Ends every stream.
    deinit { for listener in state.withLock(\.listeners).values { listener.finish() } }

    /// What is told from now on, after `values`.
    public func stream(beginningWith values: [Value] = []) -> AsyncStream<Value> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: Value.self, bufferingPolicy: policy)
        for value in values { continuation.yield(value) }
        let number = state.withLock { state in
            state.last += 1
            state.listeners[state.last] = continuation
            return state.last
        }
        continuation.onTermination = { [weak self] _ in self?.forget(number) }
        return stream
    }

    public func tell(_ value: Value) {
        for (number, listener) in state.withLock(\.listeners) {
            guard case .dropped = listener.yield(value), case .bufferingOldest = policy else {
                continue
            }
            listener.finish()
            forget(number)
        }
    }

    private func forget(_ number: Int) {
        state.withLock { _ = $0.listeners.removeValue(forKey: number) }
    }
}
