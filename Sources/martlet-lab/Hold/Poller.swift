import CLinux
import Glibc

/// Waits for many sockets at once: `epoll(7)`.
///
/// Not SwiftNIO: thousands of connections that carry a record a second shall leave both cores of a
/// small machine to what they test, also in a build for debugging.
final class Poller {
    /// What has become possible.
    struct Event: Hashable {
        let socket: Int32
        let canWrite: Bool
    }

    private let number: Int32
    private var room = [epoll_event](repeating: epoll_event(), count: 512)

    init() throws {
        number = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard number >= 0 else { throw SystemFailure("make an epoll instance") }
    }

    deinit { close(number) }

    /// Waits from now on for something to read, or for an end; until the socket is closed.
    func add(_ socket: Int32) throws { try control(EPOLL_CTL_ADD, socket, EPOLLIN) }

    /// Waits from now on until the socket can be written to.
    func addWriting(_ socket: Int32) throws { try control(EPOLL_CTL_ADD, socket, EPOLLOUT) }

    /// Having waited to write, waits for something to read.
    func turnToReading(_ socket: Int32) throws { try control(EPOLL_CTL_MOD, socket, EPOLLIN) }

    /// What has become possible within so many milliseconds; the first 512 of it.
    func wait(milliseconds: Int32) -> [Event] {
        let count = epoll_wait(number, &room, Int32(room.count), milliseconds)
        guard count > 0 else { return [] }
        return room[..<Int(count)].map { event in
            Event(socket: event.data.fd, canWrite: event.events & EPOLLOUT.rawValue != 0)
        }
    }

    private func control(_ operation: Int32, _ socket: Int32, _ what: EPOLL_EVENTS) throws {
        var event = epoll_event()
        event.events = what.rawValue
        event.data.fd = socket
        guard epoll_ctl(number, operation, socket, &event) == 0 else {
            throw SystemFailure("wait for a socket")
        }
    }
}

/// A new socket that never blocks.
func makeSocket(_ family: Int32, _ kind: __socket_type) throws -> Int32 {
    let flags = kind.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
    let number = socket(family, Int32(flags), 0)
    guard number >= 0 else { throw SystemFailure("make a socket") }
    return number
}

/// Sets an option that takes a number.
func set(_ socket: Int32, _ level: Int32, _ option: Int32, to value: Int32) throws {
    var value = value
    let size = socklen_t(MemoryLayout<Int32>.size)
    guard setsockopt(socket, level, option, &value, size) == 0 else {
        throw SystemFailure("set option \(option) of a socket")
    }
}

/// Lets the process open as many files as the machine lets it.
func raiseFileLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}
