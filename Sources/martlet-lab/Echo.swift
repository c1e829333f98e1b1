import ArgumentParser
import FoundationEssentials
import Glibc
import NIOCore

/// `martlet-lab echo`: a client that sends datagrams.
struct Echo: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Send datagrams and hold the answers against them.",
        discussion: """
            Every flow has a port of its own. It sends its next datagram when it has the answer to
            the last one, and none after one that was not answered; the flows take turns. Prints a
            line of JSON for each flow at the end, as
              {"answers":{"server-a":20},"failures":[],"flow":1}
            and ends with status 0 if every datagram was answered by `martlet-lab serve`, from the
            address that it was sent to.
            """)

    @Option(help: "Where the server is: 192.168.1.100:80 or [fd00:1::100]:80.")
    var to: Target

    @Option(help: "How many flows.")
    var flows = 1

    @Option(help: "How many datagrams in each flow.")
    var count = 1

    @Option(help: "How many bytes in each datagram.")
    var size = 64

    @Option(help: "How many seconds to wait for an answer.")
    var timeout = 2.0

    func validate() throws {
        guard flows > 0, count > 0, size >= 0, timeout > 0 else {
            throw ValidationError("flows, datagrams and seconds are above 0, and bytes not below")
        }
    }

    func run() throws {
        let sockets = try (0..<flows).map { _ in try EchoSocket(to: to, timeout: timeout) }
        var results = (1...flows).map { EchoFlow(flow: $0) }
        for turn in 0..<count {
            for (index, socket) in sockets.enumerated() {
                guard results[index].failures.isEmpty else { continue }
                results[index].note { try socket.ask(content(flow: index, turn: turn)) }
            }
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        for result in results {
            printLine(String(decoding: try encoder.encode(result), as: UTF8.self))
        }
        if results.contains(where: { !$0.failures.isEmpty }) { throw ExitCode(1) }
    }

    /// No two datagrams of a run hold the same, as far as there is room for a difference.
    private func content(flow: Int, turn: Int) -> [UInt8] {
        let difference = [flow, turn].flatMap { number in
            [UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number)]
        }
        let rest = (0..<max(0, size - difference.count)).map { UInt8(truncatingIfNeeded: $0) }
        return Array((difference + rest).prefix(size))
    }
}

/// What became of the datagrams of one flow; a line of the output.
struct EchoFlow: Encodable {
    let flow: Int
    /// How many datagrams each backend answered.
    var answers: [String: Int] = [:]
    /// Why the last one was not answered; empty if it was.
    var failures: [String] = []

    init(flow: Int) { self.flow = flow }

    /// Counts the answer of the backend that `ask` names, or its failure.
    mutating func note(_ ask: () throws -> String) {
        do {
            answers[try ask(), default: 0] += 1
        } catch {
            failures.append("\(error)")
        }
    }
}

/// A UDP socket with one peer: the kernel hands out nothing that comes from another address.
private final class EchoSocket {
    private let number: Int32
    private var buffer = [UInt8](repeating: 0, count: 65536)

    init(to target: Target, timeout: Double) throws {
        let family = target.address.protocol.rawValue
        number = socket(family, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw SystemFailure("make a socket") }
        let seconds = timeout.rounded(.down)
        var limit = timeval(
            tv_sec: Int(seconds), tv_usec: Int((timeout - seconds) * 1_000_000))
        let size = socklen_t(MemoryLayout<timeval>.size)
        guard setsockopt(number, SOL_SOCKET, SO_RCVTIMEO, &limit, size) == 0 else {
            throw SystemFailure("limit the time to wait for an answer")
        }
        let result = target.address.withSockAddr { connect(number, $0, socklen_t($1)) }
        guard result == 0 else { throw SystemFailure("connect to \(target.text)") }
    }

    deinit { close(number) }

    /// Sends a datagram and waits for its answer; the name of who answered.
    func ask(_ content: [UInt8]) throws -> String {
        guard send(number, content, content.count, 0) == content.count else {
            throw EchoFailure(errno)
        }
        while true {
            let count = recv(number, &buffer, buffer.count, 0)
            guard count >= 0 else { throw EchoFailure(errno) }
            let answer = buffer[..<count]
            guard let end = answer.firstIndex(of: UInt8(ascii: "\n")) else { continue }
            // An answer to an earlier datagram that came too late is none to this one.
            if answer[(end + 1)...].elementsEqual(content) {
                return String(decoding: answer[..<end], as: UTF8.self)
            }
        }
    }
}

/// Why a datagram has no answer, in the words of the system.
private struct EchoFailure: Error, CustomStringConvertible {
    let description: String

    init(_ code: Int32) {
        let isTimeout = code == EAGAIN || code == EWOULDBLOCK
        description = isTimeout ? "timeout" : String(cString: strerror(code)).lowercased()
    }
}
