public import Balancing
import Glibc
public import NIOCore
import NIOHTTP1
import NIOPosix
public import Packets

/// Asks `address` once whether it serves; every failure is a result, told in words.
///
/// The time limit of the check covers the connection and the answer together.
public func probe(
    _ check: HealthCheck, of address: IPAddress, on group: any EventLoopGroup
) async -> ProbeResult {
    let clock = ContinuousClock()
    let start = clock.now
    var result = ProbeResult(isSuccess: false, finding: "", latency: .zero)
    do {
        let answer = try await ask(check, address, on: group.next())
        result.isSuccess = answer.isSuccess
        result.finding = answer.finding
    } catch {
        result.finding = words(for: error, timeout: check.timeout)
        result.isAnswered = !isSilence(error)
    }
    result.latency = clock.now - start
    return result
}

private enum Answer: Sendable {
    case accepted
    case status(UInt)

    var isSuccess: Bool {
        switch self {
        case .accepted: true
        case .status(let status): (200...299).contains(status)
        }
    }

    var finding: String {
        switch self {
        case .accepted: "connection accepted"
        case .status(let status):
            isSuccess ? "HTTP \(status)" : "HTTP \(status), expected 200-299"
        }
    }
}

private enum Silence: Error {
    /// The host says nothing at all.
    case noConnection
    /// It has accepted the connection.
    case noAnswer
    case closed
}

private func ask(
    _ check: HealthCheck, _ address: IPAddress, on loop: any EventLoop
) async throws -> Answer {
    let promise = loop.makePromise(of: Answer.self)
    let limit = TimeAmount(check.timeout)
    let end = NIODeadline.now() + limit
    // Whichever comes first decides: a promise takes no second value.
    let timer = loop.scheduleTask(deadline: end) { promise.fail(Silence.noConnection) }
    let remote = try SocketAddress(ipAddress: "\(address)", port: Int(check.port))
    let connection = ClientBootstrap(group: loop).connectTimeout(limit)
        .channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                guard case .http = check.probe else { return }
                try channel.pipeline.syncOperations.addHTTPClientHandlers()
                try channel.pipeline.syncOperations.addHandler(AnswerReader(promise: promise))
            }
        }
        .connect(to: remote)
    connection.whenFailure { promise.fail($0) }
    connection.whenSuccess { channel in
        timer.cancel()
        let timer = loop.scheduleTask(deadline: end) { promise.fail(Silence.noAnswer) }
        switch check.probe {
        case .tcp: promise.succeed(.accepted)
        case .http(let path, let host):
            let host = host ?? hostHeader(address, check.port)
            send(path: path, host: host, on: channel)
        }
        // However it ends, the connection does not outlive the probe.
        promise.futureResult.whenComplete { _ in
            timer.cancel()
            channel.close(promise: nil)
        }
    }
    defer { timer.cancel() }
    return try await promise.futureResult.get()
}

private func send(path: String, host: String, on channel: any Channel) {
    let head = HTTPRequestHead(
        version: .http1_1, method: .GET, uri: path,
        headers: ["Host": host, "User-Agent": "martlet", "Connection": "close"])
    channel.write(HTTPClientRequestPart.head(head), promise: nil)
    channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
}

private func hostHeader(_ address: IPAddress, _ port: UInt16) -> String {
    let host = address.family == .v4 ? "\(address)" : "[\(address)]"
    return port == 80 ? host : "\(host):\(port)"
}

/// Waits for the status line; what follows is of no interest.
private final class AnswerReader: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let promise: EventLoopPromise<Answer>

    init(promise: EventLoopPromise<Answer>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let head) = Self.unwrapInboundIn(data) else { return }
        promise.succeed(.status(head.status.code))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { promise.fail(Silence.closed) }
}

/// Whether `error` is what one sees of a host that is dead, and not what it said, nor what went
/// wrong here.
private func isSilence(_ error: any Error) -> Bool {
    switch error {
    case Silence.noConnection, ChannelError.connectTimeout: true
    case let error as IOError:
        [ETIMEDOUT, EHOSTUNREACH, EHOSTDOWN, ENETUNREACH].contains(error.errnoCode)
    default: false
    }
}

private func words(for error: any Error, timeout: Duration) -> String {
    switch error {
    case Silence.noConnection, Silence.noAnswer, ChannelError.connectTimeout:
        "no answer in \(milliseconds(timeout)) ms"
    case Silence.closed: "closed without an answer"
    case is HTTPParserError: "answer is not HTTP"
    case let error as IOError: unsafe String(cString: strerror(error.errnoCode)).lowercased()
    default: "\(error)"
    }
}

private func milliseconds(_ duration: Duration) -> Int64 {
    duration.components.seconds * 1000
        + duration.components.attoseconds / 1_000_000_000_000_000
}
