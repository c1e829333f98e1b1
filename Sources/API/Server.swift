import Glibc
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
public import Logging
import NIOCore
import NIOPosix
public import ServiceLifecycle

/// The API: HTTP and JSON over a Unix socket, and over TLS for those who have a certificate.
public struct Server: ServiceLifecycle.Service {
    private let answers: any Operations
    private let socket: SocketPath
    private let claim: SocketClaim
    private let audit: AuditLog
    private let remote: RemoteAccess?
    private let logger: Logger
    private let whenServing: @Sendable () -> Void
    /// Of both doors together.
    private let seats = EventSeats()

    /// A server that is not running yet.
    ///
    /// - Parameters:
    ///   - audit: Where every change is written.
    ///   - remote: How it can be reached over TCP; nil: not at all.
    ///   - whenServing: Called once, when the first client may come.
    /// - Throws: ``Failure`` if another process serves at `socket`, or no socket can be there. One
    ///   that a killed process left behind is removed.
    public init(
        _ answers: any Operations, at socket: SocketPath, audit: AuditLog,
        remote: RemoteAccess? = nil, logger: Logger,
        whenServing: @escaping @Sendable () -> Void = {}
    ) async throws(Failure) {
        claim = try await SocketClaim.make(at: socket)
        self.answers = answers
        self.socket = socket
        self.audit = audit
        self.remote = remote
        self.logger = logger
        self.whenServing = whenServing
    }

    public func run() async throws {
        defer {
            socket.remove()
            claim.release()
        }
        var doors = [Entrance { try await serveLocally() }]
        if let remote { doors.append(Entrance { try await serve(remote) }) }
        // One that can't begin ends the other.
        let group = ServiceGroup(
            configuration: .init(
                services: doors.map {
                    .init(
                        service: $0, successTerminationBehavior: .gracefullyShutdownGroup,
                        failureTerminationBehavior: .gracefullyShutdownGroup)
                }, logger: quiet(logger)))
        // A task of its own, which is never cancelled: SwiftNIO ends the process if a connection
        // was accepted and nobody is left to serve it.
        let work = Task { try await group.run() }
        try await withTaskCancellationHandler {
            try await work.value
        } onCancel: {
            Task { await group.triggerGracefulShutdown() }
        }
    }

    private struct Entrance: ServiceLifecycle.Service {
        let serve: @Sendable () async throws -> Void

        func run() async throws { try await serve() }
    }

    private func serveLocally() async throws {
        let (socket, claim, whenServing, logger) = (socket, claim, whenServing, logger)
        let application = Application(
            responder: responder(.local), server: .http1(configuration: http),
            configuration: configuration(.unixDomainSocket(path: socket.path)),
            onServerRunning: { _ in
                socket.open(directoryIsOurs: claim.madeDirectory, logger)
                whenServing()
            }, logger: quiet(logger))
        do {
            try await application.run()
        } catch let error as IOError {
            throw Failure("serve the API at", socket.path, code: error.errnoCode, cure: nil)
        }
    }

    private func serve(_ remote: RemoteAccess) async throws {
        let logger = logger
        let application = Application(
            responder: responder(.remote(admins: remote.admins)),
            server: try .tls(.http1(configuration: http), tlsConfiguration: remote.tls),
            configuration: configuration(.hostname(remote.host, port: remote.port)),
            onServerRunning: { channel in
                logger.info("the API serves clients with a certificate at \(remote.address)")
                remote.whenServing(channel.localAddress?.port ?? remote.port)
            }, logger: quiet(logger))
        do {
            try await application.run()
        } catch let error as IOError {
            throw Failure(
                "serve the API at", remote.address, code: error.errnoCode,
                cure: "name an address of this host and a free port with `--listen`")
        }
    }

    private func responder(_ door: Door) -> Responder {
        Responder(operations: answers, audit: audit, door: door, seats: seats, logger: logger)
    }

    private var http: HTTP1Channel.Configuration { .init(idleTimeout: idleLimit) }

    private func configuration(_ address: BindAddress) -> ApplicationConfiguration {
        ApplicationConfiguration(
            address: address, backlog: backlog,
            availableConnectionsDelegate: .maximum(mostConnections, logger: quiet(logger)))
    }
}

/// Connections of each door that are served at once; those beyond wait until another one ends. Both
/// doors together stay far below the 1024 files that a process may open where nobody says else.
private let mostConnections = 256
/// Connections that may wait; the kernel allows as many (`net.core.somaxconn`).
private let backlog = 4096
/// A client that is silent for so long has forgotten its connection.
private let idleLimit = TimeAmount.seconds(60)

/// Hummingbird says when it starts and stops; so do we, in words of our own.
private func quiet(_ logger: Logger) -> Logger {
    var logger = logger
    logger.logLevel = .warning
    return logger
}
