import Foundation
import Glibc
import NIOCore

/// Answers each datagram with a name, a line feed and what it held.
///
/// The answer comes from the address that the datagram was sent to, which is one of many if the
/// host has a VIP, or a whole prefix of them. SwiftNIO reads that address but can't send from it;
/// the kernel takes back the control message in which it told it, as it is.
final class EchoServer: Sendable {
    private let socket: Int32
    private let name: String

    /// Binds to `port` of all addresses of both families.
    init(name: String, port: UInt16) throws {
        self.name = name
        socket = Glibc.socket(AF_INET6, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw SystemFailure("make a socket") }
        try set(IPV6_V6ONLY, to: 0)
        try set(IPV6_RECVPKTINFO, to: 1)
        let address = try SocketAddress(ipAddress: "::", port: Int(port))
        let result = address.withSockAddr { bind(socket, $0, socklen_t($1)) }
        guard result == 0 else { throw SystemFailure("listen on UDP port \(port)") }
    }

    /// Answers until the process ends, on a thread of its own.
    func start() {
        Thread.detachNewThread {
            let letter = Letter(greeting: self.name + "\n")
            while true {
                if letter.receive(self.socket) { letter.answer(self.socket) }
            }
        }
    }

    private func set(_ option: Int32, to value: Int32) throws {
        var value = value
        let size = socklen_t(MemoryLayout<Int32>.size)
        guard setsockopt(socket, Int32(IPPROTO_IPV6), option, &value, size) == 0 else {
            throw SystemFailure("set option \(option) of a socket")
        }
    }
}

/// Memory for one datagram, for its sender and for what the kernel says of it.
private final class Letter {
    private let sender = UnsafeMutableRawBufferPointer.allocate(byteCount: 128, alignment: 8)
    private let control = UnsafeMutableRawBufferPointer.allocate(byteCount: 256, alignment: 8)
    private let content: UnsafeMutableRawBufferPointer
    private let part = UnsafeMutablePointer<iovec>.allocate(capacity: 1)
    private let greetingSize: Int
    private var message = msghdr()

    init(greeting: String) {
        greetingSize = greeting.utf8.count
        content = .allocate(byteCount: greetingSize + 65536, alignment: 8)
        content.copyBytes(from: greeting.utf8)
    }

    deinit {
        sender.deallocate()
        control.deallocate()
        content.deallocate()
        part.deallocate()
    }

    /// Waits for a datagram; whether there was one.
    func receive(_ socket: Int32) -> Bool {
        part.pointee = iovec(
            iov_base: content.baseAddress?.advanced(by: greetingSize),
            iov_len: content.count - greetingSize)
        message = msghdr()
        message.msg_name = sender.baseAddress
        message.msg_namelen = socklen_t(sender.count)
        message.msg_iov = part
        message.msg_iovlen = 1
        message.msg_control = control.baseAddress
        message.msg_controllen = control.count
        let count = recvmsg(socket, &message, 0)
        guard count >= 0 else { return false }
        part.pointee = iovec(iov_base: content.baseAddress, iov_len: greetingSize + count)
        return true
    }

    /// Sends what was received back to where it came from; an answer that can't be sent is lost.
    func answer(_ socket: Int32) {
        message.msg_flags = 0
        _ = sendmsg(socket, &message, 0)
    }
}
