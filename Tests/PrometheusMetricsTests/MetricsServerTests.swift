import Foundation
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization
import Testing

@testable import Scraping

/// A real server on a port of the loopback.
struct MetricsServerTests {
    private struct Trouble: Error, CustomStringConvertible { let description = "plane on fire" }

    private static let logger = Logger(label: "tests", factory: { _ in SwiftLogNoOpLogHandler() })

    /// Runs a server, lends its address to `body`, and stops it.
    private func withServer(
        _ metrics: @escaping @Sendable () async throws -> String = { "up 1\n" },
        _ body: @escaping @Sendable (MetricsAddress) async throws -> Void
    ) async throws {
        let (served, told) = AsyncStream.makeStream(of: MetricsAddress.self)
        let server = MetricsServer(
            at: try #require(MetricsAddress("0")), contentType: "text/plain; version=0.0.4",
            logger: Self.logger, whenServing: { told.yield($0) }, metrics: metrics)
        let group = ServiceGroup(services: [server], logger: Self.logger)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            tasks.addTask {
                for await address in served.prefix(1) { try await body(address) }
                await group.triggerGracefulShutdown()
            }
            // A test that fails must not leave the server waiting.
            do { try await tasks.waitForAll() } catch {
                await group.triggerGracefulShutdown()
                throw error
            }
        }
    }

    /// What the server says to these bytes until it closes the connection.
    private func ask(_ address: MetricsAddress, _ request: String) async throws -> String {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "\(address.address)", port: Int(address.port)) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: request))
            var answer = ""
            for try await part in inbound { answer += String(buffer: part) }
            return answer
        }
    }

    private func request(_ line: String) -> String {
        "\(line) HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    }

    @Test func `metrics are told as text of version 0.0.4`() async throws {
        try await withServer { address in
            #expect(address.isLoopback)
            let answer = try await ask(address, request("GET /metrics"))
            #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(answer.lowercased().contains("content-type: text/plain; version=0.0.4\r\n"))
            #expect(answer.hasSuffix("\r\n\r\nup 1\n"))
        }
    }

    @Test(arguments: [
        ("GET /", "404"), ("GET /metrics/", "404"), ("GET /v1/status", "404"),
        ("DELETE /v1/services/web/backends/a/drain", "404"), ("POST /metrics", "405"),
        ("PUT /metrics", "405"), ("DELETE /metrics", "405"), ("nonsense", "400"),
    ])
    func `nothing else is there, and nothing can be changed`(
        line: String, status: String
    ) async throws {
        try await withServer { address in
            let answer = try await ask(address, request(line))
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer)")
            #expect((status == "405") == answer.lowercased().contains("allow: get, head\r\n"))
        }
    }

    @Test func `a head of more than 8 KiB is refused`() async throws {
        try await withServer { address in
            let head = "GET /metrics HTTP/1.1\r\nX: \(String(repeating: "x", count: 9000))\r\n\r\n"
            let refused = try await ask(address, head)
            #expect(!refused.contains("up 1"))
            let answer = try await ask(address, request("GET /metrics"))
            #expect(answer.contains("up 1"))
        }
    }

    @Test func `what went wrong is not told to who may not read the log`() async throws {
        try await withServer({ throw Trouble() }) { address in
            let answer = try await ask(address, request("GET /metrics"))
            #expect(answer.hasPrefix("HTTP/1.1 500 "))
            #expect(!answer.contains("fire"))
        }
    }

    @Test func `a port that others have is refused by name`() async throws {
        try await withServer { address in
            let second = MetricsServer(at: address, contentType: "", logger: Self.logger) { "" }
            let group = ServiceGroup(services: [second], logger: Self.logger)
            let error = await #expect(throws: MetricsServer.Failure.self) { try await group.run() }
            #expect(
                error?.description == """
                    cannot serve metrics at \(address): Address already in use (98)
                      name another address or port with `--metrics-listen`
                    """)
        }
    }

    @Test(arguments: [
        ("9464", "127.0.0.1:9464", true), ("127.9.9.9:1", "127.9.9.9:1", true),
        ("0.0.0.0:9464", "0.0.0.0:9464", false), ("[::1]:9464", "[::1]:9464", true),
        ("[2001:db8::1]:65535", "[2001:db8::1]:65535", false),
    ])
    func `an address is a port, or both`(text: String, told: String, isLoopback: Bool) throws {
        let address = try #require(MetricsAddress(text))
        #expect("\(address)" == told)
        #expect(address.isLoopback == isLoopback)
    }

    @Test(arguments: [
        "", ":", "65536", "-1", "+1", "http", "localhost:9464", "127.0.0.1", "127.0.0.1:",
        "::1:9464", "[::1]", "[127.0.0.1]:1", "127.0.0.1:1:2", "١",
    ])
    func `anything else is none`(text: String) {
        #expect(MetricsAddress(text) == nil)
    }
}
