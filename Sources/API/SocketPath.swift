import Glibc
import Logging
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
    /// `sun_path` of unix(7), less the zero at its end.
    static let longest = 107

    /// The file whose lock is the right to serve here.
    var lockPath: String { path + ".lock" }

    var isTaken: Failure {
        Failure(
            "serve the API at", path, because: "another process does",
            cure: "stop it, or give this one another `--socket`")
    }

    private var directory: String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Makes the directory; says whether it was missing.
    func makeDirectory() throws(Failure) -> Bool {
        if unsafe mkdir(directory, Self.directoryMode) == 0 { return true }
        // What the kernel says of a directory that is there depends on where that is.
        let code = errno
        if unsafe access(directory, F_OK) == 0 { return false }
        throw Failure(
            "make directory", directory, code: code,
            cure: "name a socket in a directory that can be made with `--socket`")
    }

    /// Removes the directory if it is empty.
    func removeDirectory() { _ = unsafe rmdir(directory) }

    /// Removes a socket that nobody listens on; to be called by whoever has the claim.
    ///
    /// The kernel refuses a connection to any file: what is not a socket is somebody's data.
    func clear() async throws(Failure) {
        var found = stat()
        guard unsafe lstat(path, &found) == 0 else { return }
        guard found.st_mode & S_IFMT == S_IFSOCK else {
            throw Failure(
                "serve the API at", path, because: "there is a file that is not a socket",
                cure: "remove it, or name another path with `--socket`")
        }
        do throws(Failure) {
            let connection = try await connect()
            connection.close(promise: nil)
        } catch {
            guard error.code == ECONNREFUSED else { throw error }
            remove()
            return
        }
        throw isTaken
    }

    /// Whose members may do everything with the controller.
    private static let group = "martlet"

    /// Lets the group in, once the socket is there; into the directory too if that was made for it.
    func open(directoryIsOurs: Bool, _ logger: Logger) {
        if let group = Accounts.group(called: Self.group) {
            let nobody = uid_t.max
            let paths = [path] + (directoryIsOurs ? [directory] : [])
            for name in paths where unsafe chown(name, nobody, group) != 0 {
                let failure = Failure("give to group \(Self.group)", name, code: errno, cure: nil)
                logger.info("\(failure)")
            }
        } else {
            logger.info("there is no group \(Self.group): \(path) is for this user's group")
        }
        // chown(2) may have cleared bits; the user's umask may have kept some from being set.
        if directoryIsOurs { _ = unsafe chmod(directory, Self.directoryMode) }
        _ = unsafe chmod(path, Self.mode)
    }

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
