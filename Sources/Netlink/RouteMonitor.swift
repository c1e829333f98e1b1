import CLinux
import Glibc

/// Tells when something about links, addresses, routes or neighbours changes.
///
/// It listens from the moment it is made, in the network namespace of the thread that made it:
/// a change after that is told, however long the reader takes to ask.
public struct RouteMonitor: Sendable {
    /// An element for each batch of changes, and one every few seconds in which nothing happened.
    ///
    /// Changes while the reader is busy become one, and lost messages (`ENOBUFS`) are a change like
    /// any other: look again at what you need.
    public let changes: AsyncStream<Void>

    public init() throws(Failure) {
        let socket = try NetlinkSocket(
            family: NETLINK_ROUTE,
            groups: [
                RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE,
                RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE,
            ])
        let copy = fcntl(socket.number, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw Failure("listen to netlink", code: errno) }
        let (changes, continuation) = AsyncStream.makeStream(
            of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.changes = changes
        let thread = ListeningThread(descriptor: copy, continuation: continuation)
        thread.start()
    }
}

/// A thread that waits for the kernel's messages; it ends soon after nobody reads any more.
private struct ListeningThread {
    let descriptor: Int32
    let continuation: AsyncStream<Void>.Continuation

    func start() {
        var thread = pthread_t()
        let state = Unmanaged.passRetained(Box(self))
        let result = pthread_create(
            &thread, nil,
            { raw in
                if let raw { Unmanaged<Box>.fromOpaque(raw).takeRetainedValue().thread.listen() }
                return nil
            }, state.toOpaque())
        guard result == 0 else {
            state.release()
            close(descriptor)
            continuation.finish()
            return
        }
        pthread_detach(thread)
    }

    private func listen() {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 || [ENOBUFS, EAGAIN, EINTR].contains(errno) else { break }
            // EAGAIN is the socket's time limit, in a network where nothing happens. It is told
            // too: that is how this thread learns that nobody reads any more.
            if case .terminated = continuation.yield() { break }
        }
        continuation.finish()
        close(descriptor)
    }

    private final class Box: Sendable {
        let thread: ListeningThread
        init(_ thread: ListeningThread) { self.thread = thread }
    }
}
