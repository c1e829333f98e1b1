import Foundation
import Synchronization

/// What a program has written to one of its streams so far, and what it goes on to write.
public final class Lines: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        /// Where the line begins whose end has not come yet.
        var openLine = 0
        var ended = false
        var followers: [AsyncStream<String>.Continuation] = []
    }

    private let state = Mutex(State())

    init() {}

    /// All that was written, as text.
    public var text: String { state.withLock { String(decoding: $0.bytes, as: UTF8.self) } }

    /// The complete lines so far, without their ends.
    public var all: [String] { state.withLock(\.lines) }

    /// Every line from the first one on, then each new one as it comes; ends with the stream.
    public func follow() -> AsyncStream<String> { followed().lines }

    /// Waits for the first line, old or new, that `matches`.
    ///
    /// - Throws: ``Failure`` with what was written instead, when the stream ends or time is up.
    @discardableResult
    public func first(
        within limit: Duration = .seconds(10), where matches: (String) -> Bool
    ) async throws(Failure) -> String {
        let (lines, continuation) = followed()
        let alarm = Task {
            try await Task.sleep(for: limit)
            continuation.finish()
        }
        defer { alarm.cancel() }
        for await line in lines where matches(line) { return line }
        throw Failure(
            "find the line that is waited for",
            because: state.withLock(\.ended)
                ? "the output ended" : "it did not come within \(limit)",
            details: text)
    }

    /// Reads on a thread of its own, for the read blocks; returns when the stream has ended.
    func read(from source: consuming Descriptor) async {
        let source = OwnedDescriptor(source)
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                var buffer = [UInt8](repeating: 0, count: 65536)
                while true {
                    let count = Glibc.read(source.descriptor.number, &buffer, buffer.count)
                    if count < 0, errno == EINTR { continue }
                    guard count > 0 else { break }
                    self.append(buffer[..<count])
                }
                self.end()
                continuation.resume()
            }
        }
    }

    private func followed() -> (lines: AsyncStream<String>, AsyncStream<String>.Continuation) {
        let (lines, continuation) = AsyncStream.makeStream(of: String.self)
        state.withLock {
            for line in $0.lines { continuation.yield(line) }
            if $0.ended { continuation.finish() } else { $0.followers.append(continuation) }
        }
        return (lines, continuation)
    }

    private func append(_ bytes: ArraySlice<UInt8>) {
        state.withLock {
            $0.bytes += bytes
            while let end = $0.bytes[$0.openLine...].firstIndex(of: UInt8(ascii: "\n")) {
                $0.closeLine(at: end)
            }
        }
    }

    private func end() {
        state.withLock {
            // A last line needs no end of line to count.
            if $0.openLine < $0.bytes.count { $0.closeLine(at: $0.bytes.count) }
            $0.ended = true
            for follower in $0.followers { follower.finish() }
            $0.followers = []
        }
    }
}

extension Lines.State {
}
