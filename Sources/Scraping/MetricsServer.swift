import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdCore
public import Logging
import NIOCore
public import ServiceLifecycle

/// Answers `GET /metrics` over TCP in plain HTTP, and nothing else: it reads, and takes no orders.
///
/// A few connections at a time are served; others wait in the kernel's queue, and one that is
/// silent is closed. So nobody who reads metrics can take much of the controller's time.
public struct MetricsServer: ServiceLifecycle.Service {
    private let address: MetricsAddress
    private let logger: Logger
    private let contentType: String
    private let metrics: @Sendable () async throws -> String
    private let whenServing: @Sendable (MetricsAddress) -> Void

    /// A server that is not running yet.
    ///
    /// - Parameters:
    ///   - contentType: The media type of the text.
    ///   - metrics: The text, at the moment of asking.
    ///   - whenServing: Called once, with the port that it got.
    public init(
        at address: MetricsAddress, contentType: String, logger: Logger,
        whenServing: @escaping @Sendable (MetricsAddress) -> Void = { _ in },
        metrics: @escaping @Sendable () async throws -> String
    ) {
        self.address = address
        self.logger = logger
        self.contentType = contentType
        self.metrics = metrics
        self.whenServing = whenServing
    }

    /// A port that others have, or an address that is not this machine's.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    public func run() async throws {
        let (address, whenServing) = (address, whenServing)
        if !address.isLoopback {
            logger.warning(
                "metrics can be read by whoever reaches \(address): they name all backends")
        }
        let application = Application(
            router: router(),
            server: .http1(
                configuration: .init(
                    idleTimeout: idleLimit,
                    httpDecoderConfiguration: .init(
                        maxHeaderFieldSize: headLimit, maxHeaderListSize: headLimit))),
            configuration: .init(
                address: .hostname("\(address.address)", port: Int(address.port)),
                availableConnectionsDelegate: MaximumAvailableConnections(connectionLimit)),
            onServerRunning: { channel in
                let port = channel.localAddress?.port.flatMap { UInt16(exactly: $0) }
                whenServing(address.at(port ?? address.port))
            }, logger: quiet)
        do {
            try await application.run()
        } catch let error as IOError {
            let reason = unsafe String(cString: strerror(error.errnoCode))
            throw Failure(
                description: "cannot serve metrics at \(address): \(reason) (\(error.errnoCode))\n"
                    + "  name another address or port with `--metrics-listen`")
        }
    }

    /// Hummingbird says when it starts and stops; so do we, in words of our own.
    private var quiet: Logger {
        var quiet = logger
        quiet.logLevel = .warning
        return quiet
    }

    private func router() -> Router<BasicRequestContext> {
        let (contentType, metrics, logger) = (contentType, metrics, logger)
        let router = Router(
            context: BasicRequestContext.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: OnlyMetrics())
        router.get("/metrics") { _, _ in
            do {
                let text = try await metrics()
                return Response(
                    status: .ok, headers: [.contentType: contentType],
                    body: .init(byteBuffer: ByteBuffer(string: text)))
            } catch {
                // The reason is for those who may read the log.
                logger.error("metrics can't be told: \(error)")
                return plain(.internalServerError, "metrics can't be told; the log says why")
            }
        }
        return router
    }
}

/// As many scrapers as anybody has, twice.
private let connectionLimit = 8
/// A scraper that comes every minute connects anew.
private let idleLimit = TimeAmount.seconds(10)
/// Far more than a scraper's head.
private let headLimit = 8 << 10

/// 404 for other paths, 405 for other methods: RFC 9110, 15.5.5 and 15.5.6.
private struct OnlyMetrics: RouterMiddleware {
    typealias Context = BasicRequestContext

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        guard request.uri.path == "/metrics" else {
            return plain(.notFound, "there is nothing here but /metrics")
        }
        guard request.method == .get || request.method == .head else {
            var response = plain(.methodNotAllowed, "/metrics is read only")
            response.headers[.allow] = "GET, HEAD"
            return response
        }
        return try await next(request, context)
    }
}

private func plain(_ status: HTTPResponse.Status, _ text: String) -> Response {
    Response(
        status: status, headers: [.contentType: "text/plain; charset=utf-8"],
        body: .init(byteBuffer: ByteBuffer(string: text + "\n")))
}
