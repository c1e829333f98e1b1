import Foundation
import Glibc
import NIOCore
import Synchronization

/// Takes connections and answers each record with a name and the record, on a thread of its own.
final class RecordServer: Sendable {
    /// What others may ask for or change while it runs.
    private let shared = Mutex(Shared())
    private let name: String
    private let listener: Int32

    struct Counts: Hashable, Sendable {
        /// Connections that came, and those that are there.
        var accepted = 0
        var open = 0
    }

    private struct Shared {
        var counts = Counts()
        var delay = Duration.zero
    }

    /// Listens on `port` of all addresses of both families.
    init(name: String, port: UInt16) throws {
        self.name = name
        listener = try makeSocket(AF_INET6, SOCK_STREAM)
        try set(listener, Int32(IPPROTO_IPV6), IPV6_V6ONLY, to: 0)
        try set(listener, SOL_SOCKET, SO_REUSEADDR, to: 1)
        let address = try SocketAddress(ipAddress: "::", port: Int(port))
        let result = address.withSockAddr { bind(listener, $0, socklen_t($1)) }
        guard result == 0, listen(listener, 4096) == 0 else {
            throw SystemFailure("listen on TCP port \(port)")
        }
    }

    var counts: Counts { shared.withLock(\.counts) }

    /// How much later than it could the server answers; to be changed at any time.
    var delay: Duration {
        get { shared.withLock(\.delay) }
        set { shared.withLock { $0.delay = newValue } }
    }

    /// Answers until the process ends.
    func start() throws {
        let poller = try Poller()
        try poller.add(listener)
        // The only one who uses it from now on.
        nonisolated(unsafe) let work = Work(poller, greeting: Array((name + "\n").utf8))
        Thread.detachNewThread { while true { self.turn(work) } }
    }

    private func turn(_ work: Work) {
        // Short while answers wait for their time, or they would be late.
        for event in work.poller.wait(milliseconds: work.hasDelayed ? 1 : 1000) {
            if event.socket == listener {
                acceptAll(work)
            } else if work.read(event.socket, delay: delay) == .ended {
                shared.withLock { $0.counts.open -= 1 }
            }
        }
        work.sendDelayed()
    }

    private func acceptAll(_ work: Work) {
        while true {
            let socket = accept(listener, nil, nil)
            guard socket >= 0 else { return }
            guard fcntl(socket, F_SETFL, O_NONBLOCK) == 0, (try? work.poller.add(socket)) != nil
            else {
                close(socket)
                continue
            }
            shared.withLock {
                $0.counts.accepted += 1
                $0.counts.open += 1
            }
        }
    }
}

/// The connections of a server, for one thread.
private final class Work {
    enum State { case open, ended }

    let poller: Poller
    private let greeting: [UInt8]
    /// What has come of records that are not complete, by connection: rarely anything.
    private var pieces: [Int32: [UInt8]] = [:]
    /// Answers that wait for their time, in the order in which they were made.
    private var delayed: [(due: ContinuousClock.Instant, socket: Int32, bytes: [UInt8])] = []
    private var buffer = [UInt8](repeating: 0, count: 65536)

    init(_ poller: Poller, greeting: [UInt8]) {
        self.poller = poller
        self.greeting = greeting
    }

    var hasDelayed: Bool { !delayed.isEmpty }

    /// Reads what is there and answers it, now or after `delay`.
    func read(_ socket: Int32, delay: Duration) -> State {
        let count = recv(socket, &buffer, buffer.count, 0)
        guard count > 0 else {
            guard count == 0 || errno != EAGAIN else { return .open }
            end(socket)
            return .ended
        }
        let bytes = (pieces[socket] ?? []) + buffer[..<count]
        let complete = bytes.count / Record.size * Record.size
        pieces[socket] = complete < bytes.count ? Array(bytes[complete...]) : nil
        var answers: [UInt8] = []
        for start in stride(from: 0, to: complete, by: Record.size) {
            answers += greeting
            answers += bytes[start..<(start + Record.size)]
        }
        if delay > .zero {
            delayed.append((.now + delay, socket, answers))
        } else {
            send(answers, to: socket)
        }
        return .open
    }

    func sendDelayed() {
        guard hasDelayed else { return }
        let now = ContinuousClock.now
        let due = delayed.prefix { $0.due <= now }
        for answer in due { send(answer.bytes, to: answer.socket) }
        delayed.removeFirst(due.count)
    }

    /// A client that takes nothing any more misses answers, and says so.
    private func send(_ answers: [UInt8], to socket: Int32) {
        _ = Glibc.send(socket, answers, answers.count, Int32(MSG_NOSIGNAL))
    }

    private func end(_ socket: Int32) {
        pieces[socket] = nil
        for answer in delayed where answer.socket == socket { send(answer.bytes, to: socket) }
        delayed.removeAll { $0.socket == socket }
        close(socket)
    }
}
