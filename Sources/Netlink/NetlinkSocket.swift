import CLinux
import Glibc

/// A netlink socket of the network namespace in which the thread is that opens it.
///
/// It stays in that namespace, whichever thread uses it later.
struct NetlinkSocket: ~Copyable, Sendable {
    /// What came of an attempt to receive.
    enum Reception {
        case messages([Message])
        /// A datagram that lies about its lengths.
        case malformed(Malformed)
        /// With the kernel's `errno`: `EAGAIN` if nothing came, `ENOBUFS` if messages were lost.
        case refused(Int32)
    }

    /// The kernel's name for this socket: what the answers to its requests carry.
    let port: UInt32
    private let descriptor: Descriptor

    /// Its number, for who waits until it can be read.
    var number: Int32 { descriptor.number }

    /// Opens a socket of a family (`NETLINK_ROUTE`), joined to the multicast groups given.
    init(family: Int32, groups: [UInt32] = []) throws(Failure) {
        let kind = Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue)
        let number = result(of: { Int(socket(AF_NETLINK, kind, family)) })
        guard number >= 0 else { throw refusal("open", number) }
        let descriptor = Descriptor(number: Int32(number))
        // Texts with refusals, without a copy of the request; no silently ignored part of one.
        for option in [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK] {
            try descriptor.set(option, of: SOL_NETLINK, to: UInt32(1))
        }
        try descriptor.set(
            SO_RCVTIMEO, of: SOL_SOCKET, to: timeval(tv_sec: patience, tv_usec: 0))
        let port = try descriptor.bind()
        for group in groups {
            try descriptor.set(NETLINK_ADD_MEMBERSHIP, of: SOL_NETLINK, to: group)
        }
        self.port = port
        self.descriptor = descriptor
    }

    /// Sends `bytes` to the kernel; returns 0 or its `errno`.
    borrowing func send(_ bytes: [UInt8]) -> Int32 {
        let sent = result(of: { Glibc.send(descriptor.number, bytes, bytes.count, 0) })
        return sent < 0 ? Int32(-sent) : 0
    }

    /// The next datagram, whatever its size; waits for it, at most ``patience`` seconds, or not.
    borrowing func receive(waiting: Bool) -> Reception {
        let wait = waiting ? 0 : Int32(MSG_DONTWAIT)
        let truncated = Int32(MSG_TRUNC)
        let peek = Int32(MSG_PEEK) | truncated | wait
        let size = result(of: { recv(descriptor.number, nil, 0, peek) })
        guard size >= 0 else { return .refused(Int32(-size)) }
        var datagram = [UInt8](repeating: 0, count: size)
        var sender = sockaddr_nl()
        var senderSize = addressSize
        let flags = truncated | wait
        let count = result(of: {
            withAddress(&sender) {
                recvfrom(descriptor.number, &datagram, size, flags, $0, &senderSize)
            }
        })
        guard count >= 0 else { return .refused(Int32(-count)) }
        guard count <= size else {
            return .malformed(Malformed(reason: "a datagram was cut short"))
        }
        // Any process of root may write to this socket; only the kernel is listened to.
        guard sender.nl_pid == 0 else { return .messages([]) }
        do throws(Malformed) {
            return .messages(try Message.split(Array(datagram.prefix(count))))
        } catch {
            return .malformed(error)
        }
    }
}

/// Seconds after which an answer that did not come is no longer waited for.
///
/// The kernel answers within the call that asks; only a bug, ours or its, makes this pass.
let patience = 5

/// A file descriptor that closes itself.
struct Descriptor: ~Copyable, Sendable {
    let number: Int32

    deinit { close(number) }

    borrowing func set(_ option: Int32, of level: Int32, to value: some BitwiseCopyable)
        throws(Failure)
    {
        let bytes = rawBytes(value)
        let outcome = result(of: {
            Int(setsockopt(number, level, option, bytes, UInt32(bytes.count)))
        })
        guard outcome >= 0 else { throw refusal("set option \(option) of", outcome) }
    }

    /// Takes the port that the kernel chooses, and returns it.
    borrowing func bind() throws(Failure) -> UInt32 {
        var address = sockaddr_nl()
        address.nl_family = UInt16(AF_NETLINK)
        var size = addressSize
        let bound = result(of: {
            withAddress(&address) { Int(Glibc.bind(number, $0, addressSize)) }
        })
        guard bound >= 0 else { throw refusal("bind", bound) }
        let named = result(of: { withAddress(&address) { Int(getsockname(number, $0, &size)) } })
        guard named >= 0 else { throw refusal("ask for the port of", named) }
        return address.nl_pid
    }
}

private let addressSize = UInt32(MemoryLayout<sockaddr_nl>.size)

private func withAddress<Result>(
    _ address: inout sockaddr_nl, _ body: (UnsafeMutablePointer<sockaddr>) -> Result
) -> Result {
    withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
    }
}

private func refusal(_ operation: String, _ result: Int) -> Failure {
    Failure(operation, "a netlink socket", code: Int32(-result))
}

/// What `call` returns, or `-errno`; a signal (`EINTR`) makes it call again.
private func result(of call: () -> Int) -> Int {
    while true {
        let result = call()
        guard result < 0 else { return result }
        let code = errno
        guard code == EINTR else { return -Int(code) }
    }
}
