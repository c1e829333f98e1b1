import Glibc

/// Whoever started this process and wants to hear of it: systemd, by its protocol, sd_notify(3).
public struct ServiceManager: Sendable {
    /// What it is told.
    public enum News: Hashable, Sendable {
        /// All that was started works.
        case ready
        /// Files are being read anew; ``ready`` ends it.
        case reloading
        case stopping
        /// A line for people.
        case status(String)
        /// The process is alive: to be said again and again.
        case watchdog
    }

    /// Where datagrams go: a path, or with `@` a name without a file.
    private let socket: String
    /// How often at least it wants to hear that the process is alive; nil: it does not.
    public let watchdogPeriod: Duration?

    /// The service manager that the environment names; nil: none.
    ///
    /// - Parameter environment: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    public init?(environment: (String) -> String? = variable) {
        guard let socket = environment("NOTIFY_SOCKET"), let first = socket.utf8.first,
            first == UInt8(ascii: "/") || first == UInt8(ascii: "@"), socket.utf8.count > 1,
            socket.utf8.count <= longestName
        else { return nil }
        self.socket = socket
        // It may have been meant for the process that started us.
        let isOurs = environment("WATCHDOG_PID").map { $0 == "\(getpid())" } ?? true
        let period = environment("WATCHDOG_USEC").flatMap { Int64($0) }
        watchdogPeriod = period.flatMap { isOurs && $0 > 0 ? .microseconds($0) : nil }
    }

    /// Tells all of it in one datagram; what can't be told is lost, and nobody can help that.
    public func tell(_ news: News...) {
        let text = news.map(assignments).joined(separator: "\n")
        send(Array(text.utf8))
    }

    private func assignments(_ news: News) -> String {
        switch news {
        case .ready: "READY=1"
        // Which moment is meant tells systemd 253 and later which reload it was.
        case .reloading: "RELOADING=1\nMONOTONIC_USEC=\(monotonicMicroseconds())"
        case .stopping: "STOPPING=1"
        // A second line would be another assignment.
        case .status(let text):
            "STATUS=" + text.split(whereSeparator: \.isNewline).joined(separator: "; ")
        case .watchdog: "WATCHDOG=1"
        }
    }

    private func send(_ bytes: [UInt8]) {
        let descriptor = Glibc.socket(
            AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        // Nobody waits for a manager that does not read.
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var (address, length) = address()
        unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                _ = unsafe sendto(
                    descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), address, length)
            }
        }
    }

    /// unix(7): a name without a file begins with a zero, and is as long as the address says.
    private func address() -> (sockaddr_un, socklen_t) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = Array(socket.utf8)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { path in
            unsafe path.copyBytes(from: name)
            if name[0] == UInt8(ascii: "@") { unsafe path[0] = 0 }
        }
        let head = MemoryLayout<sockaddr_un>.offset(of: \.sun_path)!
        return (address, socklen_t(head + name.count))
    }
}

/// `sun_path` of unix(7), less a zero at its end.
private let longestName = 107

/// A variable of this process's environment.
public func variable(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
}

private func monotonicMicroseconds() -> Int64 {
    var now = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000
}
