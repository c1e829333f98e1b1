import Foundation
import Lab

/// `martlet-lab hold` in a node.
final class HoldClient {
    private let program: RunningProgram
    private var orders = 0
    /// What it said last.
    private(set) var latest = HoldRead()

    init(in node: Node, to target: String, options: [String] = []) async throws {
        program = try await node.start(
            [try builtProduct("martlet-lab"), "hold", "--to", target] + options)
    }

    /// Has an order carried out; what has become of all flows by then.
    @discardableResult
    func order(_ line: String, within limit: Duration = .seconds(60)) async throws -> HoldRead {
        orders += 1
        let mark = "\"command\":\(orders),"
        try program.write(line: line)
        let answer = try await program.output.first(within: limit) { $0.contains(mark) }
        latest = try JSONDecoder().decode(HoldRead.self, from: Data(answer.utf8))
        return latest
    }

    func signal(_ signal: Int32) { program.kill(signal) }

    /// Ends the client with its flows; what had become of them.
    func end() async throws -> HoldRead {
        program.closeInput()
        let output = try await program.wait(within: .seconds(20))
        let line = output.stdout.split(separator: "\n").last ?? ""
        latest = try JSONDecoder().decode(HoldRead.self, from: Data(line.utf8))
        return latest
    }
}

/// A line of `martlet-lab hold`.
struct HoldRead: Decodable {
    var answers = 0
    var opened = 0
    var closed = 0
    var open: [String: Int] = [:]
    var broken: [Loss] = []
    var failed: [Loss] = []

    struct Loss: Decodable, CustomStringConvertible {
        let backend: String?
        let reason: String
        let count: Int
        let first: Double
        let last: Double

        var description: String {
            "\(count) of \(backend ?? "nobody"): \(reason) (\(first) s to \(last) s)"
        }
    }

    /// How many flows each backend has lost.
    var brokenByBackend: [String: Int] {
        broken.reduce(into: [:]) { $0[$1.backend ?? "", default: 0] += $1.count }
    }

    var openCount: Int { open.values.reduce(0, +) }
    var brokenCount: Int { broken.map(\.count).reduce(0, +) }
    var failedCount: Int { failed.map(\.count).reduce(0, +) }
}

extension Network {
    /// Starts a server of held flows on each of these, and what takes packets out of tunnels.
    func startHoldServers(_ names: [String], _ way: Way) async throws -> [String: RunningProgram] {
        var started: [String: RunningProgram] = [:]
        for name in names {
            let server = try await self[name].start(
                [try builtProduct("martlet-lab"), "hold-server", "--name", name])
            try await server.output.first { $0 == "ready" }
            started[name] = server
            if way.isTunnel {
                try await self[name].run([try builtProduct("martlet"), "decapsulate", "eth0"])
            }
        }
        return started
    }
}
