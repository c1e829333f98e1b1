public import Control
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOPosix

extension Client {
    /// What happens from now on, until the controller ends or nobody listens any more.
    ///
    /// - Parameter id: Those after it that are still known come first; nil: only those to come.
    /// - Throws: From the stream ``Failure``, also when the controller ends it, and ``Refused``.
    public func events(after id: UInt64? = nil) -> AsyncThrowingStream<Event, any Error> {
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: Event.self)
        let listening = Task {
            do { try await listen(after: id, continuation) } catch {
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { _ in listening.cancel() }
        return stream
    }

    private func listen(
        after id: UInt64?, _ continuation: AsyncThrowingStream<Event, any Error>.Continuation
    ) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let connection = try await socket.connect(on: loop) { channel in
            channel.eventLoop.makeCompletedFuture {
                let pipeline = channel.pipeline.syncOperations
                try pipeline.addHTTPClientHandlers()
                try pipeline.addHandler(EventReader(self, continuation))
            }
        }
        var head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: eventsPath,
            headers: ["Host": "martlet", "Accept": "text/event-stream"])
        if let id { head.headers.add(name: "Last-Event-ID", value: "\(id)") }
        connection.write(HTTPClientRequestPart.head(head), promise: nil)
        connection.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        await withTaskCancellationHandler {
            try? await connection.closeFuture.get()
        } onCancel: {
            connection.close(promise: nil)
        }
    }
}

private let eventsPath = "/v1/events"

/// Finds events in what a server sends: `text/event-stream` of the HTML standard, 9.2.6, as far as
/// it takes to read `data`, in which an event is whole.
struct EventParser {
    private var rest: [UInt8] = []
    private var data: [UInt8] = []

    /// Takes the next bytes, which may end anywhere, and returns the data of the events that they
    /// complete.
    mutating func take(_ bytes: some Sequence<UInt8>) -> [[UInt8]] {
        var found: [[UInt8]] = []
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                rest.append(byte)
                continue
            }
            if rest.last == UInt8(ascii: "\r") { rest.removeLast() }
            if rest.isEmpty {
                if !data.isEmpty { found.append(data) }
                data = []
            } else if rest.starts(with: Self.field) {
                if !data.isEmpty { data.append(byte) }
                let value = rest.dropFirst(Self.field.count)
                data += value.first == UInt8(ascii: " ") ? value.dropFirst() : value
            }
            rest = []
        }
        return found
    }

    private static let field = Array("data:".utf8)
}

private final class EventReader: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let client: Client
    private let listener: AsyncThrowingStream<Event, any Error>.Continuation
    private var parser = EventParser()
    /// Of an answer that is a refusal.
    private var status: UInt?
    private var problem: [UInt8] = []

    init(_ client: Client, _ listener: AsyncThrowingStream<Event, any Error>.Continuation) {
        self.client = client
        self.listener = listener
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch Self.unwrapInboundIn(data) {
        case .head(let head):
            status = head.status.code < 300 ? nil : head.status.code
        case .body(let bytes):
            guard status == nil else {
                problem += bytes.readableBytesView
                return
            }
            for data in parser.take(bytes.readableBytesView) { tell(data, context) }
        case .end:
            if let status {
                listener.finish(
                    throwing: client.refusal(of: eventsPath, status: status, problem))
            }
            context.close(promise: nil)
        }
    }

    private func tell(_ data: [UInt8], _ context: ChannelHandlerContext) {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        do {
            listener.yield(try decoder.decode(Event.self, from: Data(data)))
        } catch {
            listener.finish(
                throwing: Failure(
                    "read", "an event of the controller", because: "\(error)",
                    cure: "is the controller of the same version as this command?"))
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        listener.finish(throwing: error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        listener.finish(
            throwing: Failure(
                "follow", "the events", because: "the controller closed the connection",
                cure: nil))
    }
}
