import Foundation
import Lab
import Testing

// What the tests of the whole product share: servers, a controller, and a client's requests.

/// A way of forwarding with a network that it suits.
enum Way: String, CaseIterable, CustomTestStringConvertible {
    case l2DSR = "l2-dsr"
    case ipip
    case gue
    case nat
    case fullNAT = "full-nat"

    var testDescription: String { rawValue }

    var topology: Topology { topology(backends: servers.count) }

    func topology(backends: Int) -> Topology {
        switch self {
        case .l2DSR: .oneSegment(backends: backends)
        case .ipip, .gue: .routed(backends: backends, segments: .own)
        case .nat: .gateway(backends: backends)
        case .fullNAT: .oneSegment(backends: backends, isPlain: true)
        }
    }

    var isTunnel: Bool { self == .ipip || self == .gue }

    /// What stands in the configuration beside the services.
    var nodeSettings: String {
        switch self {
        case .l2DSR, .ipip, .gue: "interfaces: [eth1]"
        case .nat: "interfaces: [eth1, eth2]"
        case .fullNAT:
            "interfaces: [eth1]\nnat-addresses: [192.168.1.200, \"fd00:1::200\"]"
        }
    }

    /// Which packets that arrive at a server are those that the client sent to the VIP, as
    /// pcap-filter(7) says it.
    func arrival(_ family: Family) -> String {
        switch (self, family) {
        case (.l2DSR, _), (.ipip, _), (.gue, _): "dst host \(family.rawValue)"
        case (.nat, .v4): "src host 192.168.0.10"
        case (.nat, .v6): "src host fd00::10"
        case (.fullNAT, .v4): "src host 192.168.1.200"
        case (.fullNAT, .v6): "src host fd00:1::200"
        }
    }

    /// What the data path says of a packet that it forwards so.
    var verdict: String {
        switch self {
        case .l2DSR: "FORWARD_L2_DSR"
        case .ipip: "FORWARD_IPIP"
        case .gue: "FORWARD_GUE"
        case .nat: "FORWARD_NAT"
        case .fullNAT: "FORWARD_FULL_NAT"
        }
    }

    /// Of the backends from `server-a` on, as many as a test may want.
    func addresses(_ family: Family) -> [String] {
        switch (self, family) {
        case (.l2DSR, .v4), (.fullNAT, .v4): (101...105).map { "192.168.1.\($0)" }
        case (.l2DSR, .v6), (.fullNAT, .v6): (101...105).map { "fd00:1::\($0)" }
        case (.nat, .v4): (101...105).map { "192.168.2.\($0)" }
        case (.nat, .v6): (101...105).map { "fd00:2::\($0)" }
        case (.ipip, .v4), (.gue, .v4): (101...105).map { "192.168.\($0).10" }
        case (.ipip, .v6), (.gue, .v6): (101...105).map { "fd00:\($0)::10" }
        }
    }
}

enum Family: String, CaseIterable {
    case v4 = "192.168.1.100"
    case v6 = "fd00:1::100"

    var target: String { self == .v4 ? "\(rawValue):80" : "[\(rawValue)]:80" }
}

/// What a client's requests met.
struct Tally {
    /// How many requests each backend answered.
    var backends: [String: Int] = [:]
    var failures: [String] = []

    var answered: Int { backends.values.reduce(0, +) }
}

let servers = ["server-a", "server-b", "server-c"]

extension Network {
    /// Starts a server on each backend, and what takes packets out of tunnels where there are any.
    func startServers(
        _ way: Way, options: [String] = []
    ) async throws -> [String: RunningProgram] {
        var started: [String: RunningProgram] = [:]
        for name in servers {
            started[name] = try await serve(name, options: options)
            if way.isTunnel {
                try await self[name].run([try builtProduct("martlet"), "decapsulate", "eth0"])
            }
        }
        return started
    }

    func serve(_ name: String, options: [String] = []) async throws -> RunningProgram {
        let server = try await self[name].start(
            [try builtProduct("martlet-lab"), "serve", "--name", name] + options)
        try await server.output.first { $0 == "ready" }
        return server
    }

    /// Starts `martlet run`, and waits until its program runs.
    func runController(
        _ way: Way, _ family: Family, options: [String] = []
    ) async throws -> RunningProgram {
        let backends = zip(servers, way.addresses(family))
            .map { "      - { name: \($0), address: \"\($1)\" }" }.joined(separator: "\n")
        let text = """
            \(way.nodeSettings)
            services:
              - name: web
                vip: "\(family.rawValue)"
                port: 80
                forwarding: \(way.rawValue)
                health-check: { type: http, path: /healthz, interval: 100ms, rise: 2, fall: 2 }
                backends:
            \(backends)
            """
        return try await runController(configuration: text, options: options)
    }

    /// Starts `martlet run` with this configuration, and waits until its program runs.
    func runController(
        configuration: String, options: [String] = []
    ) async throws -> RunningProgram {
        try self["balancer"].write(configuration, to: "/run/martlet.yaml")
        let controller = try await self["balancer"].start(
            [try builtProduct("martlet"), "run", "--config", "/run/martlet.yaml"] + options)
        try await controller.errors.first { $0.contains("runs on eth1") }
        return controller
    }

    /// Sends `count` requests to the VIP, each on a connection of its own.
    func request(_ count: Int, _ family: Family) async throws -> Tally {
        struct Visit: Decodable {
            let backend: String?
            let failure: String?
        }
        let output = try await self["client"].attempt(
            [
                try builtProduct("martlet-lab"), "request", "--to", family.target, "--count",
                "\(count)",
            ], within: .seconds(60))
        var tally = Tally()
        for line in output.stdout.split(separator: "\n") {
            let visit = try JSONDecoder().decode(Visit.self, from: Data(line.utf8))
            if let backend = visit.backend { tally.backends[backend, default: 0] += 1 }
            if let failure = visit.failure { tally.failures.append(failure) }
        }
        guard tally.answered + tally.failures.count == count else {
            throw Unanswered(description: "\(count) requests: \(tally), \(output.stderr)")
        }
        return tally
    }

    /// Sends requests until every backend has answered; what all of them met.
    @discardableResult
    func waitForAllBackends(_ family: Family) async throws -> Tally {
        var all = Tally()
        try await eventually("all of \(servers) answer", within: .seconds(20)) {
            let seen = try await request(60, family)
            all.backends.merge(seen.backends, uniquingKeysWith: +)
            all.failures += seen.failures
            return seen.failures.isEmpty && Set(seen.backends.keys) == Set(servers)
        }
        return all
    }
}

/// Requests of which nobody knows what became.
struct Unanswered: Error, CustomStringConvertible { let description: String }

extension Node {
    func write(_ text: String, to path: String) throws {
        try text.write(toFile: self.path(path), atomically: false, encoding: .utf8)
    }

    /// What `martlet` with these arguments met, which may be a refusal.
    func martlet(_ arguments: String...) async throws -> Output {
        try await attempt([try builtProduct("martlet")] + arguments)
    }

    /// The JSON that a command prints.
    func decode<Value: Decodable>(_ command: [String]) async throws -> Value {
        let output = try await run(command)
        return try JSONDecoder().decode(Value.self, from: Data(output.stdout.utf8))
    }
}
