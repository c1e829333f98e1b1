import NIOCore
import NIOHTTP1
import NIOPosix

/// Why there was no answer, if it was not the system that said so.
enum FetchFailure: Error, CustomStringConvertible {
    case timeout
    case closed

    var description: String {
        switch self {
        case .timeout: "timeout"
        case .closed: "closed before the end of the answer"
        }
    }
}

/// Asks for a page on a connection of its own, and reads the answer to its end.
func fetch(
    _ path: String, from target: Target, timeout: Duration
) async throws -> HTTPResponseHead {
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    let answer = loop.makePromise(of: HTTPResponseHead.self)
    let alarm = loop.scheduleTask(in: TimeAmount(timeout)) { answer.fail(FetchFailure.timeout) }
    let connection = ClientBootstrap(group: loop).connectTimeout(TimeAmount(timeout))
        .channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHTTPClientHandlers()
                try channel.pipeline.syncOperations.addHandler(Asking(path, of: target, answer))
            }
        }
        .connect(to: target.address)
    connection.cascadeFailure(to: answer)
    defer {
        alarm.cancel()
        connection.whenSuccess { $0.close(promise: nil) }
    }
    return try await answer.futureResult.get()
}

/// Sends one request and waits for the end of the answer.
private final class Asking: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let request: HTTPRequestHead
    private let answer: EventLoopPromise<HTTPResponseHead>
    private var head: HTTPResponseHead?

    init(_ path: String, of target: Target, _ answer: EventLoopPromise<HTTPResponseHead>) {
        request = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: path,
            headers: ["Host": target.text, "Connection": "close"])
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(.head(request)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if case .head(let head) = part { self.head = head }
        if case .end = part, let head { answer.succeed(head) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // An answer that has begun ends so, and one that has not without an error.
        let isEnd = error as? HTTPParserError == .invalidEOFState
        answer.fail(isEnd ? FetchFailure.closed : error)
    }

    func channelInactive(context: ChannelHandlerContext) { answer.fail(FetchFailure.closed) }
}
