import Foundation
import Logging
import NIOCore
import ServiceLifecycle

@testable import API

/// A real server on a real socket, in a directory of its own.
struct ServedAPI: Sendable {
    let socket: SocketPath
    /// Where the socket, the audit log and whatever a test needs is.
    let directory: String
    var client: Client { Client(at: socket) }

    var auditPath: String { directory + "/audit.log" }

    /// The lines of the audit log.
    func audit() throws -> [[String: String]] {
        try String(contentsOfFile: auditPath, encoding: .utf8).split(separator: "\n").map { line in
            let fields = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            return (fields ?? [:]).mapValues { "\($0)" }
        }
    }
}

let silent = Logger(label: "tests", factory: { _ in SwiftLogNoOpLogHandler() })

/// Runs a server for `operations`, lends it to `body`, and stops it.
func withServer(
    _ operations: any Operations, remote: RemoteAccess? = nil, logger: Logger = silent,
    _ body: @escaping @Sendable (ServedAPI) async throws -> Void
) async throws {
    try await withDirectory { directory in
        // The server makes this one, and takes it away.
        let socket = SocketPath(directory + "/run/api.sock")
        let audit = try AuditLog(at: directory + "/audit.log", logger: logger)
        let server = try await Server(
            operations, at: socket, audit: audit, remote: remote, logger: logger)
        let group = ServiceGroup(services: [server], logger: silent)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            while (try? await socket.connect().close()) == nil { await Task.yield() }
            do { try await body(ServedAPI(socket: socket, directory: directory)) } catch {
                await group.triggerGracefulShutdown()
                try? await tasks.waitForAll()
                throw error
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
        if FileManager.default.fileExists(atPath: directory + "/run") { throw LeftBehind() }
    }
}

/// That a server has not cleared away what it made.
struct LeftBehind: Error {}

/// Lends `body` an empty directory.
func withDirectory(_ body: (String) async throws -> Void) async throws {
    let directory = FileManager.default.temporaryDirectory
        .appending(path: "martlet-\(UUID().uuidString)").path()
    try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try await body(directory)
}
