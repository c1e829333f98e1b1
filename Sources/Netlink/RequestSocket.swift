import CLinux
import Glibc

/// A netlink socket for questions and orders, one at a time, each with its answers.
///
/// It asks in the network namespace of the thread that made it. Serves every family of netlink:
/// routes, and generic ones such as IPVS. A request ends within seconds, answered or not.
package struct RequestSocket: ~Copyable, Sendable {
    private let socket: NetlinkSocket
    private var sequence: UInt32 = 0

    /// Opens a socket of a family: `NETLINK_ROUTE`, `NETLINK_GENERIC`.
    package init(family: Int32) throws(Failure) { socket = try NetlinkSocket(family: family) }

    /// Sends `request` and returns what `read` makes of each answer; nil leaves an answer out.
    ///
    /// A table that changed while it was read, or of which something was lost, is read again.
    /// `operation` and `subject` name the request in a ``Failure``.
    package mutating func answers<Answer>(
        to request: Request, _ operation: String, _ subject: String,
        read: (Message) throws(Malformed) -> Answer?
    ) throws(Failure) -> [Answer] {
        for _ in 0..<attempts {
            sequence &+= 1
            let code = socket.send(request.bytes(sequence: sequence))
            guard code == 0 else { throw Failure(operation, subject, code: code) }
            var exchange = Exchange(request: sequence, port: socket.port, isDump: request.isDump)
            while exchange.end == nil { exchange.take(socket.receive(waiting: true)) }
            switch exchange.end {
            case .refused(let code, let text):
                throw Failure(operation, subject, code: code, kernelText: text)
            case .unreadable(let reason):
                throw Failure(operation, subject, because: reason)
            case .complete:
                return try values(of: exchange.answers, operation, subject, read)
            case .incomplete, nil:
                continue
            }
        }
        throw Failure(
            operation, subject,
            because: "the table changed each of the \(attempts) times that it was read")
    }

    private borrowing func values<Answer>(
        of messages: [Message], _ operation: String, _ subject: String,
        _ read: (Message) throws(Malformed) -> Answer?
    ) throws(Failure) -> [Answer] {
        do throws(Malformed) {
            var values: [Answer] = []
            for message in messages {
                if let value = try read(message) { values.append(value) }
            }
            return values
        } catch {
            throw Failure(operation, subject, because: error.reason)
        }
    }
}

/// How often a table is read that changes under the reader before giving up.
///
/// A large table of neighbours in a busy network needs two or three.
private let attempts = 10
