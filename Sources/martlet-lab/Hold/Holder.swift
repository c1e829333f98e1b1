import Glibc
import NIOCore

/// Opens flows, keeps them busy and sees what becomes of them; for one thread.
final class Holder {
    private typealias Moment = ContinuousClock.Instant

    private let target: Target
    private let sources: [SocketAddress]
    private let transport: HeldFlow.Transport
    private let interval: Duration
    private let limit: Duration
    private let burst: Int
    private let poller: Poller
    private let begin = Moment.now
    private var buffer = [UInt8](repeating: 0, count: 65536)
    private var random = SystemRandomNumberGenerator()

    /// The flows by their sockets; the sockets in the order in which they take turns.
    private var held: [Int32: Held] = [:]
    private var turns: [Int32] = []
    private var cursor = 0
    private var lastNumber: UInt64 = 0
    private var lastTurn: Moment

    // What is to be done, in parts of a second.
    private var toOpen = 0
    private var toCheck: [Int32] = []
    /// How many flows the order waits for.
    private var awaited = 0
    private var churn = 0
    private var credits = Credits()

    private var opened = 0
    private var closed = 0
    private var answers = 0
    private var open: [String: Int] = [:]
    private var broken: [HoldReport.Loss] = []
    private var failed: [HoldReport.Loss] = []

    /// A flow with its socket.
    private struct Held {
        enum State { case connecting, established, closing }
        /// What an order waits for.
        enum Goal: Hashable { case beginning, answer(UInt64), end }

        var flow: HeldFlow
        var state: State
        let begin: Moment
        /// Where the socket is in `turns`.
        var turn: Int
        var goal: Goal?
        /// When it began to close.
        var closing: Moment?

        var isOpen: Bool { state == .established && flow.backend != nil }
    }

    /// How much of everything may be done, which grows with time.
    private struct Credits {
        var records = 0.0
        var burst = 0.0
        var openings = 0.0
        var closings = 0.0
    }

    init(
        to target: Target, from sources: [String], transport: HeldFlow.Transport,
        interval: Duration, limit: Duration, burst: Int
    ) throws {
        self.target = target
        self.sources = try sources.map { try SocketAddress(ipAddress: $0, port: 0) }
        self.transport = transport
        self.interval = interval
        self.limit = limit
        self.burst = burst
        poller = try Poller()
        lastTurn = begin
    }

    // MARK: Orders

    /// Begins to carry out an order, which takes turns until ``isDone``.
    func begin(_ order: HoldOrder) {
        switch order {
        case .open(let count): toOpen = count
        case .check:
            toCheck = turns.filter { held[$0]?.isOpen ?? false }
            for socket in toCheck { expect(.answer((held[socket]?.flow.sent ?? 0) + 1), socket) }
            // Those that are on their way: where they are going was settled when they set out.
            for (socket, flow) in held where !flow.isOpen && flow.state != .closing {
                expect(.beginning, socket)
            }
        case .close(let count, let backend):
            let candidates = turns.filter { socket in
                guard let held = held[socket], held.isOpen else { return false }
                return backend == nil || held.flow.backend == backend
            }
            for socket in candidates.shuffled().prefix(count ?? .max) {
                expect(.end, socket)
                close(socket, abruptly: false)
            }
        case .churn(let rate):
            churn = rate
            (credits.openings, credits.closings) = (0, 0)
        }
    }

    /// Whether the order is carried out.
    var isDone: Bool { toOpen == 0 && awaited == 0 }

    /// What has become of all flows so far.
    func report(command: Int) -> HoldReport {
        HoldReport(
            command: command, seconds: seconds(at: .now), opened: opened, closed: closed,
            open: open.filter { $0.value > 0 }, broken: broken, failed: failed, answers: answers)
    }

    private func seconds(at moment: Moment) -> Double {
        (begin.duration(to: moment) / .milliseconds(1)).rounded() / 1000
    }

    private func expect(_ goal: Held.Goal, _ socket: Int32) {
        held[socket]?.goal = goal
        awaited += 1
    }

    private func reach(_ socket: Int32) {
        guard held[socket]?.goal != nil else { return }
        held[socket]?.goal = nil
        awaited -= 1
    }

    // MARK: Turns

    /// Takes what has come, and sends what is due; a few milliseconds.
    func turn() {
        for event in poller.wait(milliseconds: 2) {
            if event.canWrite, held[event.socket]?.state == .connecting {
                establish(event.socket, at: .now)
            } else {
                read(event.socket, at: .now)
            }
        }
        let now = Moment.now
        let passed = min(lastTurn.duration(to: now) / .seconds(1), 0.02)
        lastTurn = now
        sendDue(passed, at: now)
        sendChecks(passed, at: now)
        openDue(passed)
        closeDue(passed)
    }

    private func sendDue(_ passed: Double, at now: Moment) {
        credits.records += passed * Double(turns.count) / (interval / .seconds(1))
        let count = min(Int(credits.records), turns.count)
        credits.records -= Double(Int(credits.records))
        for _ in 0..<count {
            // Flows may have ended meanwhile.
            guard !turns.isEmpty else { return }
            cursor = (cursor + 1) % turns.count
            visit(turns[cursor], at: now)
        }
    }

    private func sendChecks(_ passed: Double, at now: Moment) {
        guard !toCheck.isEmpty else { return }
        credits.burst += passed * Double(burst)
        let count = min(Int(credits.burst), toCheck.count)
        credits.burst -= Double(Int(credits.burst))
        for socket in toCheck.suffix(count) where held[socket]?.state == .established {
            send(socket, at: now)
        }
        toCheck.removeLast(count)
    }

    private func openDue(_ passed: Double) {
        if toOpen > 0 {
            credits.burst += passed * Double(burst)
            let count = min(Int(credits.burst), toOpen)
            credits.burst -= Double(Int(credits.burst))
            for _ in 0..<count { openOne(for: .beginning) }
            toOpen -= count
        }
        credits.openings += passed * Double(churn)
        while credits.openings >= 1 {
            credits.openings -= 1
            openOne(for: nil)
        }
    }

    private func closeDue(_ passed: Double) {
        credits.closings += passed * Double(churn)
        while credits.closings >= 1 {
            credits.closings -= 1
            guard let socket = turns.randomElement(), let flow = held[socket], flow.isOpen,
                flow.goal == nil
            else { continue }
            // Some clients say goodbye with a reset.
            close(socket, abruptly: flow.flow.number.isMultiple(of: 4))
        }
    }

    /// A flow's turn to send, or to be found overdue.
    private func visit(_ socket: Int32, at now: Moment) {
        guard let flow = held[socket] else { return }
        switch flow.state {
        case .connecting:
            if flow.begin.duration(to: now) > limit { lose(socket, .silence, at: now) }
        case .established:
            if flow.flow.isOverdue(at: now, limit: limit) {
                lose(socket, .silence, at: now)
            } else {
                send(socket, at: now)
            }
        case .closing:
            if let start = flow.closing, start.duration(to: now) > limit {
                lose(socket, .silence, at: now)
            }
        }
    }
}

// MARK: - One flow

extension Holder {
    private func openOne(for goal: Held.Goal?) {
        lastNumber += 1
        let now = Moment.now
        do {
            let socket = try connectedSocket()
            held[socket] = Held(
                flow: HeldFlow(number: lastNumber, transport: transport),
                state: transport == .tcp ? .connecting : .established, begin: now,
                turn: turns.count, goal: nil)
            turns.append(socket)
            if let goal { expect(goal, socket) }
            if transport == .tcp {
                try poller.addWriting(socket)
            } else {
                try poller.add(socket)
                send(socket, at: now)
            }
        } catch {
            failed.add(nil, "\(error)", at: seconds(at: now))
        }
    }

    /// A socket that is connected, or about to be.
    private func connectedSocket() throws -> Int32 {
        let family = Int32(target.address.protocol.rawValue)
        let socket = try makeSocket(family, transport == .tcp ? SOCK_STREAM : SOCK_DGRAM)
        do {
            if transport == .tcp { try set(socket, Int32(IPPROTO_TCP), TCP_NODELAY, to: 1) }
            if !sources.isEmpty {
                // Or the kernel would take a port that is free whatever the target.
                try set(socket, Int32(IPPROTO_IP), bindAddressNoPort, to: 1)
                let source = sources[Int(lastNumber) % sources.count]
                let result = source.withSockAddr { Glibc.bind(socket, $0, socklen_t($1)) }
                guard result == 0 else { throw SystemFailure("send from \(source)") }
            }
            let result = target.address.withSockAddr { Glibc.connect(socket, $0, socklen_t($1)) }
            guard result == 0 || errno == EINPROGRESS else {
                throw SystemFailure("connect to \(target.text)")
            }
            return socket
        } catch {
            Glibc.close(socket)
            throw error
        }
    }

    private func establish(_ socket: Int32, at now: Moment) {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size)
        guard code == 0, (try? poller.turnToReading(socket)) != nil else {
            lose(socket, reason(code), at: now)
            return
        }
        held[socket]?.state = .established
        send(socket, at: now)
    }

    private func send(_ socket: Int32, at now: Moment) {
        guard let record = held[socket]?.flow.next(at: now) else { return }
        let count = Glibc.send(
            socket, record.bytes, Record.size, Int32(MSG_NOSIGNAL))
        // A record that finds no room is like one that is lost.
        guard count < 0, errno != EAGAIN else { return }
        lose(socket, reason(errno), at: now)
    }

    private func read(_ socket: Int32, at now: Moment) {
        guard let before = held[socket] else { return }
        let count = recv(socket, &buffer, buffer.count, 0)
        if count == 0, transport == .tcp {
            if before.state == .closing, before.flow.isQuiet {
                closed += 1
                remove(socket)
            } else {
                lose(socket, .ended, at: now)
            }
            return
        }
        guard count >= 0 else {
            if errno != EAGAIN { lose(socket, reason(errno), at: now) }
            return
        }
        do {
            try held[socket]?.flow.take(buffer[..<count], at: now)
        } catch {
            lose(socket, error, at: now)
            return
        }
        guard let after = held[socket] else { return }
        answers += Int(after.flow.answered - before.flow.answered)
        if !before.isOpen, after.isOpen, let backend = after.flow.backend {
            opened += 1
            open[backend, default: 0] += 1
            if after.goal == .beginning { reach(socket) }
        }
        if case .answer(let number) = after.goal, after.flow.answered >= number { reach(socket) }
    }

    /// Closes a flow, whose last answers are waited for unless it is done abruptly.
    private func close(_ socket: Int32, abruptly: Bool) {
        guard let flow = held[socket] else { return }
        if transport == .tcp, !abruptly {
            leave(flow)
            held[socket]?.state = .closing
            held[socket]?.closing = .now
            shutdown(socket, Int32(SHUT_WR))
            return
        }
        if transport == .tcp {
            var lingering = linger(l_onoff: 1, l_linger: 0)
            setsockopt(
                socket, SOL_SOCKET, SO_LINGER, &lingering, socklen_t(MemoryLayout<linger>.size))
        }
        closed += 1
        leave(flow)
        remove(socket)
    }

    private func lose(_ socket: Int32, _ loss: Break, at now: Moment) {
        guard let flow = held[socket] else { return }
        if flow.state == .connecting || transport == .udp && flow.flow.backend == nil {
            failed.add(nil, loss.description, at: seconds(at: now))
        } else {
            broken.add(flow.flow.backend, loss.description, at: seconds(at: now))
        }
        leave(flow)
        remove(socket)
    }

    /// The flow is not open any more.
    private func leave(_ flow: Held) {
        if flow.isOpen, let backend = flow.flow.backend { open[backend, default: 0] -= 1 }
    }

    private func remove(_ socket: Int32) {
        reach(socket)
        guard let flow = held.removeValue(forKey: socket) else { return }
        // The last in line takes the empty place.
        let last = turns.removeLast()
        if last != socket {
            turns[flow.turn] = last
            held[last]?.turn = flow.turn
        }
        Glibc.close(socket)
    }

    private func reason(_ code: Int32) -> Break {
        code == ECONNRESET || code == EPIPE
            ? .reset : .refused(String(cString: strerror(code)).lowercased())
    }
}

/// `IP_BIND_ADDRESS_NO_PORT` of linux/in.h.
private let bindAddressNoPort: Int32 = 24
