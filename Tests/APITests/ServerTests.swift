import Balancing
import Control
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import Synchronization
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

    /// What was asked for; of a backend called `nobody` nothing is known.
    private final class Orders: Sendable {
        private let taken = Mutex<[(BackendReference, DrainOrder?)]>([])

        func take(_ backend: BackendReference, _ order: DrainOrder?) throws {
            if backend.backend == "nobody" {
                throw DrainRefusal(.unknown, "there is no \(backend)")
            }
            if order?.isForced == false, backend.backend == "last" {
                throw DrainRefusal(.conflict, "\(backend) is the last")
            }
            taken.withLock { $0.append((backend, order)) }
        }

        var all: [(BackendReference, DrainOrder?)] { taken.withLock(\.self) }
    }

    private struct Trouble: Error, CustomStringConvertible { let description = "plane on fire" }

    /// Runs a server, lends its socket to `body`, and stops it.
    private func withServer(
        status: @escaping @Sendable () async throws -> Control.Status = { ServerTests.status },
        orders: Orders = Orders(),
        _ body: @escaping @Sendable (SocketPath) async throws -> Void
    ) async throws {
        let directory = FileManager.default.temporaryDirectory
            .appending(path: "martlet-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: directory) }
        let socket = SocketPath(directory.appending(path: "api.sock").path())
        let server = try await Server(
            Answers(
                status: status, counters: { Self.report }, drain: { try orders.take($0, $1) },
                undrain: { try orders.take($0, nil) }),
            at: socket, logger: Self.logger)
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
        #expect(!FileManager.default.fileExists(atPath: directory.path()), "it leaves nothing")
    }

    @Test func `drains are ordered and ended, and refused in words`() async throws {
        let orders = Orders()
        let deadline = Date(timeIntervalSince1970: 1_900_000_000)
        try await withServer(orders: orders) { socket in
            let client = Client(at: socket)
            try await client.drain(
                BackendReference("web", "a.1_x"), DrainOrder(deadline: deadline, isForced: true))
            try await client.undrain(BackendReference("web", "2001:db8::1"))
            await #expect(throws: Client.Refused.self) {
                try await client.drain(BackendReference("web", "nobody"), DrainOrder())
            }
            try await client.undrain(BackendReference("web", "b/é\n"))
            let path = "/v1/services/web/backends"
            let answers = [
                try await client.fetch("\(path)/nobody/drain", method: .PUT),
                try await client.fetch("\(path)/last/drain", method: .PUT),
                try await client.fetch("\(path)/a/drain", method: .PUT, body: Array("{".utf8)),
                try await client.fetch("\(path)/a/drain", method: .POST),
                try await client.fetch("\(path)/a/drain"),
                try await client.fetch("\(path)/a/drain", method: .PUT),
            ]
            #expect(answers.map(\.status) == [404, 409, 400, 405, 405, 204])
            #expect(answers[3].allow == "PUT, DELETE")
            #expect(String(decoding: answers[1].body, as: UTF8.self).contains("is the last"))
        }
        #expect(
            orders.all.map(\.0.description)
                == ["web/a.1_x", "web/2001:db8::1", "web/b%2F%C3%A9%0A", "web/a"])
        #expect(
            orders.all.map(\.1)
                == [DrainOrder(deadline: deadline, isForced: true), nil, nil, DrainOrder()])
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

    @Test(arguments: [HTTPMethod.POST, .PUT, .DELETE, .PATCH, .OPTIONS])
    func `what can be read takes no other method`(method: HTTPMethod) async throws {
        try await withServer { socket in
            let answer = try await Client(at: socket).fetch("/v1/status", method: method)
            #expect(answer.status == 405)
            #expect(answer.allow == "GET, HEAD")
            #expect(answer.contentType == "application/problem+json")
            let elsewhere = try await Client(at: socket).fetch("/v1/nothing", method: method)
            #expect(elsewhere.status == 404)
        }
    }

    @Test(arguments: [(65536, 405), (65537, 413)])
    func `a body is read as far as its limit, and not a byte further`(
        bytes: Int, status: UInt
    ) async throws {
        try await withServer { socket in
            let body = [UInt8](repeating: UInt8(ascii: "x"), count: bytes)
            let answer = try await Client(at: socket)
                .fetch("/v1/status", method: .POST, body: body)
            #expect(answer.status == status)
            #expect(answer.contentType == "application/problem+json")
        }
    }

    @Test func `a second server is refused before and while the first one listens`()
        async throws
    {
        try await withDirectory { directory in
            let socket = SocketPath(directory + "/api.sock")
            let first = try await SocketClaim.make(at: socket)
            let failure = await #expect(throws: Failure.self) {
                _ = try await SocketClaim.make(at: socket)
            }
            #expect(
                failure?.description == """
                    cannot serve the API at \(socket.path): another process does
                      stop it, or give this one another `--socket`
                    """)
            withExtendedLifetime(first) {}
        }
        try await withServer { socket in
            await #expect(throws: Failure.self) { _ = try await SocketClaim.make(at: socket) }
            _ = try await Client(at: socket).status()
        }
    }

    @Test func `somebody else's socket is left alone while somebody listens`() async throws {
        try await withDirectory { directory in
            let path = directory + "/api.sock"
            let listener = try boundSocket(at: path)
            defer { close(listener) }
            #expect(listen(listener, 1) == 0)
            await #expect(throws: Failure.self) {
                _ = try await SocketClaim.make(at: SocketPath(path))
            }
            #expect(FileManager.default.fileExists(atPath: path))
        }
    }

    @Test func `the socket of a dead process is replaced, any other file is kept`()
        async throws
    {
        try await withDirectory { directory in
            let dead = SocketPath(directory + "/dead.sock")
            close(try boundSocket(at: dead.path))
            _ = try await SocketClaim.make(at: dead)
            #expect(!FileManager.default.fileExists(atPath: dead.path))

            let precious = directory + "/precious"
            try "data".write(toFile: precious, atomically: false, encoding: .utf8)
            let link = directory + "/link"
            try FileManager.default.createSymbolicLink(
                atPath: link, withDestinationPath: precious)
            for path in [precious, link, directory] {
                let failure = await #expect(throws: Failure.self) {
                    _ = try await SocketClaim.make(at: SocketPath(path))
                }
                #expect(failure?.description.contains("not a socket") == true)
            }
            #expect(try String(contentsOfFile: precious, encoding: .utf8) == "data")
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == precious)
        }
    }

    @Test func `a claim takes with it what it made, and no directory that was there`()
        async throws
    {
        try await withDirectory { directory in
            let socket = SocketPath(directory + "/made/api.sock")
            _ = try await SocketClaim.make(at: socket)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == [])
            _ = try await SocketClaim.make(at: SocketPath(directory + "/api.sock"))
            #expect(FileManager.default.fileExists(atPath: directory))
        }
    }

    @Test(arguments: [(107, true), (108, false)])
    func `a path has the length that a socket can have`(
        length: Int, isTaken: Bool
    ) async throws {
        try await withDirectory { directory in
            let name = String(repeating: "s", count: length - directory.utf8.count - 1)
            let claim = try? await SocketClaim.make(at: SocketPath("\(directory)/\(name)"))
            #expect((claim != nil) == isTaken)
        }
    }

    /// Lends `body` an empty directory.
    private func withDirectory(_ body: (String) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory
            .appending(path: "martlet-\(UUID().uuidString)").path()
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await body(directory)
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

/// A Unix socket with a name, on which nobody listens yet.
private func boundSocket(at path: String) throws -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
    try #require(result == 0)
    return descriptor
}
