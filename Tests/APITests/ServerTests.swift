import Balancing
import Control
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import Testing

@testable import API

/// A real server on a real socket, each in a directory of its own.
struct ServerTests {
    private static let report = CountersReport(
        verdicts: [
            .init(
                name: "DROP_TRUNCATED", text: "header cut short",
                count: Count(packets: 3, bytes: 42))
        ], taken: Date(timeIntervalSince1970: 1_800_000_000))
    private static let status = Control.Status(
        taken: Date(timeIntervalSince1970: 1_800_000_000),
        interfaces: [.init(name: "eth1", mode: "native", program: 42)], services: [])
    private static let logger = Logger(label: "tests", factory: { _ in SwiftLogNoOpLogHandler() })

    private struct Trouble: Error, CustomStringConvertible { let description = "plane on fire" }

    /// Runs a server, lends its socket to `body`, and stops it.
    private func withServer(
        status: @escaping @Sendable () async throws -> Control.Status = { ServerTests.status },
        _ body: @escaping @Sendable (SocketPath) async throws -> Void
    ) async throws {
        let directory = FileManager.default.temporaryDirectory
            .appending(path: "martlet-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: directory) }
        let socket = SocketPath(directory.appending(path: "api.sock").path())
        let server = try await Server(
            Answers(status: status, counters: { Self.report }), at: socket, logger: Self.logger)
        let group = ServiceGroup(services: [server], logger: Self.logger)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            while (try? await socket.connect().close()) == nil { await Task.yield() }
            do { try await body(socket) } catch {
                await group.triggerGracefulShutdown()
                throw error
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
        #expect(!FileManager.default.fileExists(atPath: socket.path), "it removes its socket")
    }

    @Test func `what is told arrives as it was told`() async throws {
        try await withServer { socket in
            let (status, report) = (
                try await Client(at: socket).status(), try await Client(at: socket).counters()
            )
            #expect(status == Self.status)
            #expect(report == Self.report)
        }
    }

    @Test func `only owner and group may use the socket`() async throws {
        try await withServer { socket in
            _ = try await Client(at: socket).status()
            let attributes = try FileManager.default.attributesOfItem(atPath: socket.path)
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o660)
        }
    }

    @Test func `what is not of the API is a problem in JSON`() async throws {
        try await withServer { socket in
            let answer = try await Client(at: socket).fetch("/v1/nothing")
            #expect(answer.status == 404)
            #expect(answer.contentType == "application/problem+json")
            let problem = try JSONDecoder().decode(Problem.self, from: Data(answer.body))
            #expect(problem.status == 404)
            #expect(problem.detail == "GET /v1/nothing is not of this API")
            let refused = try await Client(at: socket).fetch("/v1/status", method: .DELETE)
            #expect((400..<500).contains(refused.status))
        }
    }

    @Test func `a failure of the plane reaches the person who asked`() async throws {
        try await withServer(status: { throw Trouble() }) { socket in
            let failure = await #expect(throws: Failure.self) {
                try await Client(at: socket).status()
            }
            #expect(failure?.description == "cannot ask for /v1/status: plane on fire")
        }
    }

    @Test func `two servers don't share a socket, but one takes the place of a dead one`()
        async throws
    {
        try await withServer { socket in
            let failure = await #expect(throws: Failure.self) {
                try await socket.prepare()
            }
            #expect(failure?.description.contains("another process does") == true)
            // A copy of the name, as a killed process leaves it: nobody listens.
            let dead = SocketPath(socket.path + ".dead")
            try leaveSocket(at: dead.path)
            try await dead.prepare()
            #expect(!FileManager.default.fileExists(atPath: dead.path))
        }
    }

    @Test func `without a controller the cure is said`() async {
        let failure = await #expect(throws: Failure.self) {
            try await Client(at: SocketPath("/nowhere/martlet.sock")).status()
        }
        #expect(
            failure?.description == """
                cannot connect to /nowhere/martlet.sock: No such file or directory (2)
                  no controller serves there; start `martlet run`, or name its socket with \
                `--socket`
                """)
    }
}

/// Binds a Unix socket and closes it, which leaves its name.
private func leaveSocket(at path: String) throws {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
    #expect(result == 0)
}
