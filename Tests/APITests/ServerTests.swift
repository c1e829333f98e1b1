import Balancing
import Control
import Foundation
import NIOCore
import NIOHTTP1
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

    /// What was asked for; of a backend called `nobody` nothing is known.
    private final class Orders: Sendable {
        private let taken = Mutex<[(BackendReference, DrainOrder?)]>([])

        func take(_ backend: BackendReference, _ order: DrainOrder?) throws {
            if backend.backend == "nobody" {
                throw Refusal(.unknown, "there is no \(backend)")
            }
            if order?.isForced == false, backend.backend == "last" {
                throw Refusal(.conflict, "\(backend) is the last")
            }
            taken.withLock { $0.append((backend, order)) }
        }

        var all: [(BackendReference, DrainOrder?)] { taken.withLock(\.self) }
    }

    private struct Trouble: Error, CustomStringConvertible { let description = "plane on fire" }

    /// Runs a server that knows these, and lends its socket to `body`.
    private func withServer(
        status: @escaping @Sendable () async throws -> Control.Status = { ServerTests.status },
        orders: Orders = Orders(),
        _ body: @escaping @Sendable (SocketPath) async throws -> Void
    ) async throws {
        let operations = FakeOperations(
            status: status, counters: { Self.report }, drain: { try orders.take($0, $1) },
            undrain: { try orders.take($0, nil) })
        try await APITests.withServer(operations) { try await body($0.socket) }
    }

    @Test func `drains are ordered and ended, and refused in words`() async throws {
        let orders = Orders()
        let deadline = Date(timeIntervalSince1970: 1_900_000_000)
        try await withServer(orders: orders) { socket in
            let client = Client(at: socket)
            try await client.drain(
                BackendReference("web", "a.1_x"), DrainOrder(deadline: deadline, isForced: true))
            try await client.undrain(BackendReference("web", "b"))
            await #expect(throws: Client.Refused.self) {
                try await client.drain(BackendReference("web", "nobody"), DrainOrder())
            }
            let odd = await #expect(throws: Client.Refused.self) {
                try await client.undrain(BackendReference("web", "b/é\n"))
            }
            #expect(odd?.status == 400)
            let path = "/v1/services/web/backends"
            let json: HTTPHeaders = ["Content-Type": "application/json"]
            let order = Array("{}".utf8)
            let answers = [
                try await client.fetch(
                    "\(path)/nobody/drain", method: .PUT, headers: json, body: order),
                try await client.fetch(
                    "\(path)/last/drain", method: .PUT, headers: json, body: order),
                try await client.fetch(
                    "\(path)/a/drain", method: .PUT, headers: json, body: Array("{".utf8)),
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
                == ["web/a.1_x", "web/b", "web/a"])
        #expect(
            orders.all.map(\.1)
                == [DrainOrder(deadline: deadline, isForced: true), nil, DrainOrder()])
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
            let failure = await #expect(throws: Client.Refused.self) {
                try await Client(at: socket).status()
            }
            #expect(failure?.status == 500)
            #expect(failure?.description == "plane on fire")
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

    @Test(arguments: [
        ("/v1/services/web/backends/a/drain", 65536, 204),  // JSON with spaces before it
        ("/v1/services/web/backends/a/drain", 65537, 413),
        ("/v1/configuration", 4 << 20, 500),  // what is asked here has no answer
        ("/v1/configuration", 4 << 20 + 1, 413),
        ("/v1/configuration", 30 << 20, 413),
    ])
    func `a body is read as far as its limit, and not a byte further`(
        path: String, bytes: Int, status: UInt
    ) async throws {
        try await withServer { socket in
            let body = [UInt8](repeating: UInt8(ascii: " "), count: bytes - 2) + Array("{}".utf8)
            let answer = try await Client(at: socket).fetch(
                path, method: .PUT, headers: ["Content-Type": "application/json"], body: body,
                within: 60)
            #expect(answer.status == status)
            #expect(status < 300 || answer.contentType == "application/problem+json")
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

    @Test func `a HEAD is answered like its GET, without a body`() async throws {
        try await withServer { socket in
            let head = try await Client(at: socket).fetch("/v1/status", method: .HEAD)
            let get = try await Client(at: socket).fetch("/v1/status")
            #expect(head.status == 200)
            #expect(head.contentType == "application/json")
            #expect(head.tag == get.tag)
            #expect(head.body == [])
        }
    }

    @Test func `users and groups are those of the machine's files`() {
        #expect(Accounts.userName(of: 0) == "root")
        #expect(Accounts.group(called: "root") == 0)
        #expect(Accounts.group(called: "no such group") == nil)
        #expect(Accounts.userName(of: .max - 1) == nil)
    }

    @Test(.enabled(if: geteuid() == 0, "only root can be somebody else"))
    func `who is not in the group is told what to do`() async {
        await #expect(processExitsWith: .success) {
            try await withDirectory { directory in
                chmod(directory, 0o755)
                let path = directory + "/api.sock"
                let listener = try boundSocket(at: path)
                listen(listener, 1)
                chmod(path, 0o660)
                setgroups(0, nil)
                setegid(65534)
                seteuid(65534)
                let failure = await #expect(throws: Failure.self) {
                    try await Client(at: SocketPath(path)).status()
                }
                seteuid(0)
                setegid(0)
                #expect(
                    failure?.description == """
                        cannot connect to \(path): Permission denied (13)
                          run as root, or as a member of the socket's group
                        """)
                close(listener)
            }
        }
    }

    @Test func `a cancelled server serves those who came, and clears away`() async throws {
        try await withDirectory { directory in
            let socket = SocketPath(directory + "/run/api.sock")
            let server = try await Server(
                FakeController(), at: socket,
                audit: AuditLog(at: directory + "/audit.log", logger: silent), logger: silent)
            let running = Task { try await server.run() }
            while (try? await socket.connect().close()) == nil { await Task.yield() }
            // Some come in the moment of the end.
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for number in 0..<200 {
                    if number == 100 { running.cancel() }
                    tasks.addTask { _ = try? await Client(at: socket).status() }
                }
                try await tasks.waitForAll()
            }
            try await running.value
            #expect(!FileManager.default.fileExists(atPath: directory + "/run"))
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
