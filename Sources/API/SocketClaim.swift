import Glibc
import Synchronization

/// The right to serve at a path, which one process has at a time: `flock(2)` on a file beside the
/// socket.
///
/// The socket alone can't tell: between seeing that nobody listens and binding there, another
/// process may do the same. The kernel ends the claim with the process, however that ends.
final class SocketClaim: Sendable {
    private let socket: SocketPath
    /// Whether the socket's directory was missing.
    let madeDirectory: Bool
    /// Nil: released.
    private let descriptor: Mutex<Int32?>

    /// Claims `socket`, and removes the one that a killed process left there.
    ///
    /// - Throws: ``Failure`` if another process serves there, or no socket can be there.
    static func make(at socket: SocketPath) async throws(Failure) -> SocketClaim {
        guard (1...SocketPath.longest).contains(socket.path.utf8.count) else {
            throw Failure(
                "serve the API at", socket.path,
                because: "the path of a socket has 1 to \(SocketPath.longest) bytes",
                cure: "name a shorter one with `--socket`")
        }
        let claim = try SocketClaim(socket)
        try await socket.clear()
        return claim
    }

    private init(_ socket: SocketPath) throws(Failure) {
        let isNew = try socket.makeDirectory()
        do throws(Failure) {
            descriptor = Mutex(try Self.lock(socket))
        } catch {
            if isNew { socket.removeDirectory() }
            throw error
        }
        self.socket = socket
        madeDirectory = isNew
    }

    deinit { release() }

    /// Gives the right away, with all that was made for it.
    func release() {
        descriptor.withLock { descriptor in
            guard let number = descriptor else { return }
            // The name first: whoever opens it after this locks a file of its own.
            _ = unsafe unlink(socket.lockPath)
            close(number)
            if madeDirectory { socket.removeDirectory() }
            descriptor = nil
        }
    }

    private static func lock(_ socket: SocketPath) throws(Failure) -> Int32 {
        while true {
            let number = unsafe open(
                socket.lockPath, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR)
            guard number >= 0 else {
                throw Failure(
                    "make", socket.lockPath, code: errno,
                    cure: "name a socket in a directory for such with `--socket`")
            }
            guard flock(number, LOCK_EX | LOCK_NB) == 0 else {
                close(number)
                throw socket.isTaken
            }
            // Its last owner may have removed the name between our opening and our locking.
            if isNamed(number, socket.lockPath) { return number }
            close(number)
        }
    }

    private static func isNamed(_ descriptor: Int32, _ path: String) -> Bool {
        var (opened, named) = (stat(), stat())
        guard unsafe fstat(descriptor, &opened) == 0, unsafe lstat(path, &named) == 0 else {
            return false
        }
        return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)
    }
}
