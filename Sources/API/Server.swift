public import Control
public import FoundationEssentials
import Glibc
import HTTPTypes
import Hummingbird
public import Logging
import NIOCore
import NIOPosix
public import ServiceLifecycle

/// What the API tells and does; each answer is made when it is asked for.
public struct Answers: Sendable {
    public var status: @Sendable () async throws -> Status
    public var counters: @Sendable () async throws -> CountersReport
    public var drain: @Sendable (BackendReference, DrainOrder) async throws -> Void
    public var undrain: @Sendable (BackendReference) async throws -> Void

    public init(
        status: @escaping @Sendable () async throws -> Status,
        counters: @escaping @Sendable () async throws -> CountersReport,
        drain: @escaping @Sendable (BackendReference, DrainOrder) async throws -> Void,
        undrain: @escaping @Sendable (BackendReference) async throws -> Void
    ) {
        self.status = status
        self.counters = counters
        self.drain = drain
        self.undrain = undrain
    }
}

/// How a backend is to be drained: the body of a `PUT`.
public struct DrainOrder: Hashable, Sendable, Codable {
    /// When the flows that are left are cut; nil: never.
    public var deadline: Date?
    /// Whether it may be the last backend of its service that serves.
    public var isForced: Bool

    public init(deadline: Date? = nil, isForced: Bool = false) {
        self.deadline = deadline
        self.isForced = isForced
    }

    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        deadline = try fields.decodeIfPresent(Date.self, forKey: .deadline)
        isForced = try fields.decodeIfPresent(Bool.self, forKey: .isForced) ?? false
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

/// Beyond any order; who sends more is listened to no longer.
private let bodyLimit = 64 << 10
/// A client that is silent for so long has forgotten its connection.
private let idleLimit = TimeAmount.seconds(60)

/// Every path of the API, and what can be done there.
private let paths: [(path: String, methods: [HTTPRequest.Method])] = [
    ("/v1/status", [.get, .head]),
    ("/v1/counters", [.get, .head]),
    (drainPath, [.put, .delete]),
]
private let drainPath = "/v1/services/:service/backends/:backend/drain"

private func router(_ answers: Answers) -> Router<BasicRequestContext> {
    let router = Router(
        context: BasicRequestContext.self, options: .autoGenerateHeadEndpoints)
    router.add(middleware: Problems())
    router.get("/v1/status") { _, _ in try json(await answers.status()) }
    router.get("/v1/counters") { _, _ in try json(await answers.counters()) }
    router.put(RouterPath(drainPath)) { request, context in
        let order = try await drainOrder(request)
        try await answers.drain(try reference(context), order)
        return Response(status: .noContent)
    }
    router.delete(RouterPath(drainPath)) { _, context in
        try await answers.undrain(try reference(context))
        return Response(status: .noContent)
    }
    return router
}

private func reference(_ context: BasicRequestContext) throws -> BackendReference {
    BackendReference(
        try context.parameters.require("service"), try context.parameters.require("backend"))
}

/// An empty body is an order without more to say.
private func drainOrder(_ request: Request) async throws -> DrainOrder {
    let body = try await request.body.collect(upTo: bodyLimit)
    guard body.readableBytes > 0 else { return DrainOrder() }
    let decoder = JSONDecoder()
    decoder.dateDecodingStrategy = .iso8601
    do {
        return try decoder.decode(DrainOrder.self, from: Data(body.readableBytesView))
    } catch {
        throw HTTPError(
            .badRequest,
            message: #"the body is no order like {"deadline":"2030-01-31T12:00:00Z","#
                + #""isForced":false}"#)
    }
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

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        do {
            var request = request
            _ = try await request.collectBody(upTo: bodyLimit)
            return try await next(request, context)
        } catch let error as DrainRefusal {
            return try problem(status(of: error), error.description)
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

    private func status(of refusal: DrainRefusal) -> HTTPResponse.Status {
        switch refusal.kind {
        case .unknown: .notFound
        case .conflict: .conflict
        case .invalid: .unprocessableContent
        }
    }

    /// No such path, or a path that does not take this method: RFC 9110, 15.5.5 and 15.5.6.
    private func missing(_ request: Request) throws -> Response {
        let path = request.uri.path
        guard let known = paths.first(where: { matches(path, $0.path) }) else {
            return try problem(.notFound, "\(request.method) \(path) is not of this API")
        }
        let methods = known.methods.map(\.rawValue).joined(separator: ", ")
        var response = try problem(
            .methodNotAllowed, "\(path) takes no \(request.method), but \(methods)")
        response.headers[.allow] = methods
        return response
    }

    private func matches(_ path: String, _ pattern: String) -> Bool {
        let (parts, wanted) = (path.split(separator: "/"), pattern.split(separator: "/"))
        return parts.count == wanted.count
            && zip(parts, wanted).allSatisfy { $0 == $1 || $1.hasPrefix(":") }
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
