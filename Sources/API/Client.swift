public import Control
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOPosix

/// Asks the API; the command line is its first user.
public struct Client: Sendable {
    private let socket: SocketPath

    public init(at socket: SocketPath) { self.socket = socket }

    public func status() async throws -> Status { try await get("/v1/status") }

    public func counters() async throws -> CountersReport { try await get("/v1/counters") }

    public func drain(_ backend: BackendReference, _ order: DrainOrder) async throws {
        try await send(.PUT, drainPath(of: backend), Array(try encoder().encode(order)))
    }

    public func undrain(_ backend: BackendReference) async throws {
        try await send(.DELETE, drainPath(of: backend))
    }

    private func drainPath(of backend: BackendReference) -> String {
        "/v1/services/\(segment(backend.service))/backends/\(segment(backend.backend))/drain"
    }

    /// Names of services and backends, and addresses, are as they are; what else somebody may ask
    /// for stays one segment (RFC 3986, 3.3), and is not found.
    private func segment(_ name: String) -> String {
        let plain = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:".utf8)
        return name.utf8.map { byte in
            if plain.contains(byte) { return String(UnicodeScalar(byte)) }
            let digits = String(byte, radix: 16, uppercase: true)
            return "%" + (byte < 16 ? "0" : "") + digits
        }.joined()
    }

    /// What is done and has no answer but that it was.
    private func send(_ method: HTTPMethod, _ path: String, _ body: [UInt8] = []) async throws {
        let answer = try await fetch(path, method: method, body: body)
        guard answer.status >= 300 else { return }
        let problem = try? JSONDecoder().decode(Problem.self, from: Data(answer.body))
        throw Refused(description: problem?.detail ?? "\(path): HTTP \(answer.status)")
    }

    /// What the controller says it will not do, in its words.
    public struct Refused: Error, CustomStringConvertible {
        public let description: String
    }

    private func get<Value: Decodable>(_ path: String) async throws -> Value {
        let answer = try await fetch(path)
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        guard answer.status == 200 else {
            let problem = try? decoder.decode(Problem.self, from: Data(answer.body))
            throw Failure(
                "ask for", path, because: problem?.detail ?? "HTTP \(answer.status)", cure: nil)
        }
        do {
            return try decoder.decode(Value.self, from: Data(answer.body))
        } catch {
            throw Failure(
                "read the answer to", path, because: "\(error)",
                cure: "is the controller of the same version as this command?")
        }
    }

    func fetch(
        _ path: String, method: HTTPMethod = .GET, body: [UInt8] = []
    ) async throws -> Answer {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let answer = loop.makePromise(of: Answer.self)
        let alarm = loop.scheduleTask(in: timeout) {
            answer.fail(Failure("ask for", path, because: "no answer in 5 s", cure: nil))
        }
        defer { alarm.cancel() }
        let connection: any Channel
        do throws(Failure) {
            connection = try await socket.connect(on: loop) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandler(
                        NIOHTTPClientResponseAggregator(maxContentLength: answerLimit))
                    try pipeline.addHandler(AnswerReader(answer))
                }
            }
        } catch {
            answer.fail(error)
            throw error
        }
        defer { connection.close(promise: nil) }
        var head = HTTPRequestHead(
            version: .http1_1, method: method, uri: path,
            headers: ["Host": "martlet", "Connection": "close"])
        if !body.isEmpty { head.headers.add(name: "Content-Length", value: "\(body.count)") }
        connection.write(HTTPClientRequestPart.head(head), promise: nil)
        if !body.isEmpty {
            let bytes = ByteBuffer(bytes: body)
            connection.write(HTTPClientRequestPart.body(.byteBuffer(bytes)), promise: nil)
        }
        connection.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        return try await answer.futureResult.get()
    }
}

/// More than 32,767 backends take to tell.
private let answerLimit = 64 << 20
private let timeout = TimeAmount.seconds(5)

struct Answer: Sendable {
    var status: UInt
    var contentType: String?
    var allow: String?
    var body: [UInt8]
}

private final class AnswerReader: ChannelInboundHandler {
    typealias InboundIn = NIOHTTPClientResponseFull

    private let answer: EventLoopPromise<Answer>

    init(_ answer: EventLoopPromise<Answer>) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let response = Self.unwrapInboundIn(data)
        answer.succeed(
            Answer(
                status: response.head.status.code,
                contentType: response.head.headers.first(name: "Content-Type"),
                allow: response.head.headers.first(name: "Allow"),
                body: response.body.map { Array($0.readableBytesView) } ?? []))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { answer.fail(error) }

    func channelInactive(context: ChannelHandlerContext) {
        answer.fail(
            Failure(
                "read", "the answer", because: "the controller closed the connection", cure: nil))
    }
}
