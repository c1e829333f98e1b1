import CLinux
import Glibc

/// A netlink socket of the network namespace in which the thread is that opens it.
struct NetlinkSocket: ~Copyable, Sendable {
    let number: Int32

    /// Opens a socket of the `family` (`NETLINK_ROUTE`), joined to the groups given.
    init(family: Int32, groups: [rtnetlink_groups] = []) throws(Failure) {
        number = try open(family: family, groups: groups)
    }

    deinit { close(number) }

    borrowing func send(_ request: Request, for operation: String) throws(Failure) {
        let sent = request.bytes.withUnsafeBytes {
            Glibc.send(number, $0.baseAddress, $0.count, 0)
        }
        guard sent == request.bytes.count else { throw Failure(operation, code: errno) }
    }

    /// The messages of the next datagram, however large it is.
    borrowing func receive(for operation: String) throws(Failure) -> [Message] {
        var buffer = [UInt8](repeating: 0, count: try sizeOfNext(for: operation))
        let count = retrying { recv(number, &buffer, buffer.count, 0) }
        guard count >= 0 else { throw Failure(operation, code: errno) }
        guard let messages = Message.split(Array(buffer.prefix(count))) else {
            throw Failure(operation, because: "the kernel's answer can't be read")
        }
        return messages
    }

    private borrowing func sizeOfNext(for operation: String) throws(Failure) -> Int {
        let flags = Int32(MSG_PEEK) | Int32(MSG_TRUNC)
        let size = retrying { recv(number, nil, 0, flags) }
        guard size >= 0 else { throw Failure(operation, code: errno) }
        return size
    }

    private borrowing func retrying(_ call: () -> Int) -> Int {
        while true {
            let result = call()
            if result >= 0 || errno != EINTR { return result }
        }
    }
}

private func open(family: Int32, groups: [rtnetlink_groups]) throws(Failure) -> Int32 {
    let number = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), family)
    guard number >= 0 else { throw Failure("open a netlink socket", code: errno) }
    do throws(Failure) {
        try bindToKernel(number)
        try setTimeLimit(of: number)
        for group in groups { try join(number, group.rawValue) }
    } catch {
        close(number)
        throw error
    }
    return number
}

private func bindToKernel(_ number: Int32) throws(Failure) {
    var address = sockaddr_nl()
    address.nl_family = UInt16(AF_NETLINK)
    let size = UInt32(MemoryLayout<sockaddr_nl>.size)
    let result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(number, $0, size) }
    }
    guard result == 0 else { throw Failure("bind a netlink socket", code: errno) }
}

/// An answer that does not come must not hang who asked.
private func setTimeLimit(of number: Int32) throws(Failure) {
    var limit = timeval(tv_sec: 5, tv_usec: 0)
    let size = UInt32(MemoryLayout<timeval>.size)
    guard setsockopt(number, SOL_SOCKET, SO_RCVTIMEO, &limit, size) == 0 else {
        throw Failure("set the time limit of a netlink socket", code: errno)
    }
}

private func join(_ number: Int32, _ group: UInt32) throws(Failure) {
    var group = group
    let result = setsockopt(number, netlinkLevel, NETLINK_ADD_MEMBERSHIP, &group, 4)
    guard result == 0 else { throw Failure("join netlink group \(group)", code: errno) }
}

/// `SOL_NETLINK`, which Glibc does not show.
private let netlinkLevel: Int32 = 270
