import Glibc
import NIOCore
import NIOPosix

/// Where the Unix socket of the API is.
public struct SocketPath: Sendable, Hashable {
    public let path: String

    public init(_ path: String) { self.path = path }

    /// Readable and writable for owner and group.
    private static let mode: mode_t = 0o660
    /// Nobody else even gets to the socket while it is being made.
    private static let directoryMode: mode_t = 0o750

    /// Makes the directory, and removes what a killed process left.
    func prepare() async throws {
        let directory = path.split(separator: "/").dropLast().joined(separator: "/")
        guard unsafe mkdir("/" + directory, Self.directoryMode) == 0 || errno == EEXIST else {
            throw Failure("make directory", "/" + directory, code: errno, cure: nil)
        }
        guard unsafe access(path, F_OK) == 0 else { return }
        do {
            let connection = try await connect()
            try? await connection.close()
        } catch {
            guard error.code == ECONNREFUSED else { throw error }
            remove()
            return
        }
        throw Failure(
            "serve the API at", path, because: "another process does",
            cure: "stop it, or give this one another `--socket`")
    }

    /// Lets the group in, once the socket is there.
    func open() { _ = unsafe chmod(path, Self.mode) }

    func remove() { _ = unsafe unlink(path) }

    /// Connects to whoever serves there.
    func connect(
        on loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.any(),
        _ initialize: @escaping @Sendable (any Channel) -> EventLoopFuture<Void> = {
            $0.eventLoop.makeSucceededVoidFuture()
        }
    ) async throws(Failure) -> any Channel {
        do {
            return try await ClientBootstrap(group: loop).channelInitializer(initialize)
                .connect(unixDomainSocketPath: path).get()
        } catch {
            let code = (error as? IOError)?.errnoCode
            throw Failure(
                "connect to", path, code: code ?? EIO, cure: code.flatMap { cures[$0] })
        }
    }
}

private let cures: [Int32: String] = [
    ENOENT: "no controller serves there; start `martlet run`, or name its socket with `--socket`",
    ECONNREFUSED: "the controller that made it is gone; start `martlet run`",
    EACCES: "run as root, or as a member of the socket's group",
]
