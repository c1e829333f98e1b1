import Foundation
import Synchronization

/// What a program has written to one of its streams so far, and what it goes on to write.
public final class Lines: Sendable {
    private let state = Mutex(Written())

    /// Reads `source` until it ends; on a thread of its own, for the read blocks.
    init(of source: consuming Descriptor) {
        let owner = Owner(descriptor: source)
        Thread.detachNewThread { self.read(owner) }
    }

    /// All that was written, as text.
    public var text: String { state.withLock { String(decoding: $0.bytes, as: UTF8.self) } }

    /// The complete lines so far, without their ends.
    public var all: [String] { state.withLock(\.lines) }

    /// Every line from the first one on, then each new one as it comes; ends with the stream.
    public func follow() -> AsyncStream<String> {
        let (lines, follower) = AsyncStream.makeStream(of: String.self)
        state.withLock { $0.add(follower) }
        return lines
    }

    /// Waits for the first line, old or new, that `matches`.
    ///
    /// - Throws: ``Failure`` with what was written instead, when the stream ends or time is up.
    @discardableResult
    public func first(
        within limit: Duration = patience, where matches: @Sendable (String) -> Bool
    ) async throws(Failure) -> String {
        let (lines, follower) = AsyncStream.makeStream(of: String.self)
        state.withLock { $0.add(follower) }
        let alarm = Task {
            try await Task.sleep(for: limit)
            follower.finish()
        }
        defer { alarm.cancel() }
        for await line in lines where matches(line) { return line }
        throw Failure(
            "find the line that is waited for",
            because: state.withLock(\.ended)
                ? "the output ended without it" : "it did not come within \(limit)",
            details: text)
    }

    /// Waits for the end of the stream.
    func end() async {
        for await _ in follow() {}
    }

    private func read(_ source: Owner) {
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Glibc.read(source.descriptor.number, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            state.withLock { $0.append(buffer[..<count]) }
        }
        state.withLock { $0.end() }
    }
}

/// Holds a descriptor for a closure, which can't own what is not copyable.
private final class Owner: Sendable {
    let descriptor: Descriptor

    init(descriptor: consuming Descriptor) { self.descriptor = descriptor }
}

/// The bytes of a stream, and their lines.
private struct Written {
    private(set) var bytes: [UInt8] = []
    private(set) var lines: [String] = []
    private(set) var ended = false
    /// Where the line begins that has no end yet.
    private var openLine = 0
    private var followers: [AsyncStream<String>.Continuation] = []

    mutating func add(_ follower: AsyncStream<String>.Continuation) {
        for line in lines { follower.yield(line) }
        if ended { follower.finish() } else { followers.append(follower) }
    }

    mutating func append(_ more: ArraySlice<UInt8>) {
        // What came before has no end of a line behind `openLine`: a line of megabytes, as bpftool
        // writes, is looked through once.
        var unread = bytes.count
        bytes += more
        while let end = bytes[unread...].firstIndex(of: UInt8(ascii: "\n")) {
            closeLine(at: end)
            openLine = end + 1
            unread = openLine
        }
    }

    mutating func end() {
        // A last line counts, even if its end is missing.
        if openLine < bytes.count { closeLine(at: bytes.count) }
        ended = true
        for follower in followers { follower.finish() }
        followers = []
    }

    private mutating func closeLine(at end: Int) {
        let line = String(decoding: bytes[openLine..<end], as: UTF8.self)
        lines.append(line)
        for follower in followers { follower.yield(line) }
    }
}
