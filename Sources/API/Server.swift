public import Control
import FoundationEssentials
import Glibc
import HTTPTypes
import Hummingbird
public import Logging
import NIOCore
import NIOPosix
public import ServiceLifecycle

/// What the API tells; each answer is made when it is asked for.
public struct Answers: Sendable {
    public var status: @Sendable () async throws -> Status
    public var counters: @Sendable () async throws -> CountersReport

    public init(
        status: @escaping @Sendable () async throws -> Status,
        counters: @escaping @Sendable () async throws -> CountersReport
    ) {
        self.status = status
        self.counters = counters
    }
}

/// The API: HTTP and JSON over a Unix socket.
public struct Server: ServiceLifecycle.Service {
    private let answers: Answers
    private let socket: SocketPath
    private let claim: SocketClaim
    private let logger: Logger
    private let whenServing: @Sendable () -> Void

    /// A server that is not running yet.
    ///
    /// - Parameter whenServing: Called once, when the first client may come.
    /// - Throws: ``Failure`` if another process serves at `socket`, or no socket can be there. One
    ///   that a killed process left behind is removed.
    public init(
        _ answers: Answers, at socket: SocketPath, logger: Logger,
        whenServing: @escaping @Sendable () -> Void = {}
    ) async throws(Failure) {
        claim = try await SocketClaim.make(at: socket)
        self.answers = answers
        self.socket = socket
        self.logger = logger
        self.whenServing = whenServing
    }

    public func run() async throws {
        let (socket, whenServing) = (socket, whenServing)
        let application = Application(
            router: router(answers),
            server: .http1(configuration: .init(idleTimeout: idleLimit)),
            configuration: .init(address: .unixDomainSocket(path: socket.path)),
            onServerRunning: { _ in
                socket.open()
                whenServing()
            }, logger: quiet(logger))
        defer {
            socket.remove()
            claim.release()
        }
        do {
            try await application.run()
        } catch let error as IOError {
            throw Failure("serve the API at", socket.path, code: error.errnoCode, cure: nil)
        }
    }
}

/// No request of this API has a body; who sends one all the same is listened to no longer.
private let bodyLimit = 64 << 10
/// A client that is silent for so long has forgotten its connection.
private let idleLimit = TimeAmount.seconds(60)

/// Every path of the API.
private func router(_ answers: Answers) -> Router<BasicRequestContext> {
    let router = Router(
        context: BasicRequestContext.self, options: .autoGenerateHeadEndpoints)
    router.add(middleware: Problems(paths: ["/v1/status", "/v1/counters"]))
    router.get("/v1/status") { _, _ in try json(await answers.status()) }
    router.get("/v1/counters") { _, _ in try json(await answers.counters()) }
    return router
}

private func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
    Response(
        status: status, headers: [.contentType: "application/json"],
        body: .init(byteBuffer: ByteBuffer(bytes: try encoder().encode(value))))
}

/// How the API writes values, and how its client reads them: dates as RFC 3339 has them.
func encoder() -> JSONEncoder {
    let encoder = JSONEncoder()
    encoder.dateEncodingStrategy = .iso8601
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return encoder
}

/// What went wrong, as RFC 9457 has programs tell each other.
struct Problem: Codable {
    var title: String
    var status: Int
    var detail: String?
}

/// Makes a ``Problem`` of whatever is thrown below it.
private struct Problems: RouterMiddleware {
    typealias Context = BasicRequestContext

    /// What can be read; nothing can be written yet.
    let paths: Set<String>

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        do {
            var request = request
            _ = try await request.collectBody(upTo: bodyLimit)
            return try await next(request, context)
        } catch let error as HTTPError where error.status == .notFound {
            return try missing(request)
        } catch let error as HTTPError {
            return try problem(error.status, error.body)
        } catch is NIOTooManyBytesError {
            return try problem(
                .contentTooLarge, "a request to this API has at most \(bodyLimit) bytes of body")
        } catch {
            return try problem(.internalServerError, "\(error)")
        }
    }

    /// No such path, or a path that does not take this method: RFC 9110, 15.5.5 and 15.5.6.
    private func missing(_ request: Request) throws -> Response {
        let path = request.uri.path
        guard paths.contains(path) else {
            return try problem(.notFound, "\(request.method) \(path) is not of this API")
        }
        var response = try problem(
            .methodNotAllowed, "\(path) can be read, and takes no \(request.method)")
        response.headers[.allow] = "GET, HEAD"
        return response
    }

    private func problem(_ status: HTTPResponse.Status, _ detail: String?) throws -> Response {
        var response = try json(
            Problem(title: status.reasonPhrase, status: status.code, detail: detail),
            status: status)
        response.headers[.contentType] = "application/problem+json"
        return response
    }
}

/// Hummingbird says when it starts and stops; so do we, in words of our own.
private func quiet(_ logger: Logger) -> Logger {
    var logger = logger
    logger.logLevel = .warning
    return logger
}
