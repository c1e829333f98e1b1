import Balancing
import HealthChecks
import NIOCore
import NIOPosix
import Packets
import Testing

/// Real connections to servers of the test's own on the loopback.
struct ProbeTests {
    private static let group = MultiThreadedEventLoopGroup.singleton

    /// A server that answers any request with `answer` and closes, or never answers.
    private func server(answering answer: String?) async throws -> any Channel {
        try await ServerBootstrap(group: Self.group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let answer else { return }
                    try channel.pipeline.syncOperations.addHandler(Answerer(answer: answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    private func result(
        _ kind: HealthCheck.Probe, answering answer: String?, timeout: Duration = .seconds(5)
    ) async throws -> ProbeResult {
        let server = try await server(answering: answer)
        let port = try #require(server.localAddress?.port)
        let check = HealthCheck(
            probe: kind, port: UInt16(port), interval: .seconds(10), timeout: timeout)
        let result = await probe(
            check, of: .v4(IPv4Address(0x7F00_0001)), on: Self.group)
        try await server.close()
        return result
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true, "HTTP 200"),
        ("HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n", true, "HTTP 299"),
        ("HTTP/1.1 300 Many\r\nContent-Length: 0\r\n\r\n", false, "HTTP 300, expected 200-299"),
        ("HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n", false, "HTTP 503, expected 200-299"),
        ("SSH-2.0-OpenSSH\r\n", false, "answer is not HTTP"),
        ("", false, "closed without an answer"),
    ])
    func `an answer over HTTP is told in words`(
        answer: String, isSuccess: Bool, finding: String
    ) async throws {
        let found = try await result(.http(path: "/", host: nil), answering: answer)
        #expect(found.isSuccess == isSuccess)
        #expect(found.isAnswered)
        #expect(found.finding == finding)
    }

    @Test func `a server that never answers is up for tcp and not for http`() async throws {
        let tcp = try await result(.tcp, answering: nil)
        #expect(tcp.isSuccess && tcp.finding == "connection accepted")
        let http = try await result(
            .http(path: "/", host: nil), answering: nil, timeout: .milliseconds(50))
        #expect(!http.isSuccess && http.finding == "no answer in 50 ms")
        // It has accepted the connection: the host lives.
        #expect(http.isAnswered)
    }

    @Test func `a port where nobody listens refuses the connection`() async throws {
        // The server holds the port on 127.0.0.1, so that no other test gets it for 127.0.0.2:
        // a port that was just given back may be someone else's at once.
        let server = try await server(answering: nil)
        let port = try #require(server.localAddress?.port)
        let check = HealthCheck(probe: .tcp, port: UInt16(port))
        let result = await probe(check, of: .v4(IPv4Address(0x7F00_0002)), on: Self.group)
        try await server.close()
        #expect(!result.isSuccess && result.finding == "connection refused")
        #expect(result.isAnswered)
    }

    @Test func `a host that does not even take a connection is silent`() async throws {
        // Who has as many connections waiting as may be leaves others without an answer, as a dead
        // host does.
        let server = try await ServerBootstrap(group: Self.group)
            .serverChannelOption(.backlog, value: 0)
            .serverChannelOption(.autoRead, value: false)
            .bind(host: "127.0.0.1", port: 0).get()
        let address = try #require(server.localAddress)
        // One fills the queue; the second one finds that out, or makes sure of it.
        var waiting: [any Channel] = []
        for _ in 0..<2 {
            let connection = ClientBootstrap(group: Self.group)
                .connectTimeout(.milliseconds(50)).connect(to: address)
            if let channel = try? await connection.get() { waiting.append(channel) }
        }
        try #require(!waiting.isEmpty)
        let check = HealthCheck(
            probe: .tcp, port: UInt16(address.port ?? 0), timeout: .milliseconds(50))
        let result = await probe(check, of: .v4(IPv4Address(0x7F00_0001)), on: Self.group)
        for channel in waiting { try await channel.close() }
        try await server.close()
        #expect(!result.isSuccess && result.finding == "no answer in 50 ms")
        #expect(!result.isAnswered)
    }

    @Test func `a host to which there is no way is silent`() async throws {
        // No connection can be made to the broadcast address of the loopback.
        let check = HealthCheck(probe: .tcp, port: 80, timeout: .seconds(5))
        let result = await probe(check, of: .v4(IPv4Address(0x7FFF_FFFF)), on: Self.group)
        #expect(!result.isSuccess && result.finding == "network is unreachable")
        #expect(!result.isAnswered)
    }
}

/// Sends its answer to the first thing it reads, then closes.
private final class Answerer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let answer: String

    init(answer: String) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let channel = context.channel
        channel.writeAndFlush(ByteBuffer(string: answer)).whenComplete { _ in
            channel.close(promise: nil)
        }
    }
}
