import Foundation
import Lab
import Testing

/// From a client through the VIP to a backend: the product as its users have it.
@Suite(.enabled(if: geteuid() == 0, "namespaces and BPF programs need root"), .serialized)
struct EndToEndTests {
    /// A way of forwarding with a network that it suits.
    enum Way: String, CaseIterable, CustomTestStringConvertible {
        case l2DSR = "l2-dsr"
        case ipip

        var testDescription: String { rawValue }

        var topology: Topology { self == .l2DSR ? .oneSegment() : .routed(segments: .own) }

        func addresses(_ family: Family) -> [String] {
            switch (self, family) {
            case (.l2DSR, .v4): (101...103).map { "192.168.1.\($0)" }
            case (.l2DSR, .v6): (101...103).map { "fd00:1::\($0)" }
            case (.ipip, .v4): (101...103).map { "192.168.\($0).10" }
            case (.ipip, .v6): (101...103).map { "fd00:\($0)::10" }
            }
        }
    }

    enum Family: String, CaseIterable {
        case v4 = "192.168.1.100"
        case v6 = "fd00:1::100"

        var target: String { self == .v4 ? "\(rawValue):80" : "[\(rawValue)]:80" }
    }

    @Test(arguments: Way.allCases, Family.allCases)
    func `requests reach every backend, go on without a dead one, and reach it when it is back`(
        way: Way, family: Family
    ) async throws {
        try await withNetwork(way.topology) { network in
            var servers = try await startServers(in: network, way)
            let controller = try await run(way, family, in: network)
            try await waitForBackends(["server-a", "server-b", "server-c"], network, family)

            servers["server-b"]?.kill(SIGKILL)
            try await controller.errors.first { $0.contains("web/server-b is down") }
            let without = try await request(200, network, family)
            #expect(without.failures == [])
            #expect(Set(without.backends.keys) == ["server-a", "server-c"])

            servers["server-b"] = try await serve("server-b", in: network)
            try await controller.errors.first { $0.contains("web/server-b is up") && isLater($0) }
            try await waitForBackends(["server-a", "server-b", "server-c"], network, family)
        }
    }

    @Test(arguments: Way.allCases, Family.allCases)
    func `no request fails while the controller is killed, is away and is started again`(
        way: Way, family: Family
    ) async throws {
        try await withNetwork(way.topology) { network in
            _ = try await startServers(in: network, way)
            let controller = try await run(way, family, in: network)
            try await waitForBackends(["server-a", "server-b", "server-c"], network, family)
            let client = try await network["client"].start(
                [
                    try builtProduct("martlet-lab"), "request", "--to", family.target,
                    "--until-input-ends", "--concurrency", "4", "--rate", "200",
                ])
            try await client.output.first { $0.contains("\"n\":100,") || $0.contains("\"n\":100}") }
            controller.kill(SIGKILL)
            _ = await controller.wait()
            try await client.output.first { $0.contains("\"n\":300,") || $0.contains("\"n\":300}") }
            _ = try await run(way, family, in: network)
            try await client.output.first { $0.contains("\"n\":500,") || $0.contains("\"n\":500}") }
            client.closeInput()
            let status = await client.wait().status
            let failed = client.output.all.filter { $0.contains("failure") }
            #expect(failed == [])
            #expect(status == .exited(0))
        }
    }

    /// What `count` requests met.
    private func request(
        _ count: Int, _ network: Network, _ family: Family
    ) async throws -> (backends: [String: Int], failures: [String]) {
        let lab = try builtProduct("martlet-lab")
        let output = try await network["client"].attempt(
            [lab, "request", "--to", family.target, "--count", "\(count)"], within: .seconds(60))
        var backends: [String: Int] = [:]
        var failures: [String] = []
        for line in output.stdout.split(separator: "\n") {
            let visit = try JSONDecoder().decode(Visit.self, from: Data(line.utf8))
            if let backend = visit.backend { backends[backend, default: 0] += 1 }
            if let failure = visit.failure { failures.append(failure) }
        }
        #expect(backends.values.reduce(0, +) + failures.count == count)
        return (backends, failures)
    }

    private struct Visit: Decodable {
        let backend: String?
        let failure: String?
    }

    private func isLater(_ line: String) -> Bool { line.contains("from=down") }

    private func waitForBackends(
        _ names: Set<String>, _ network: Network, _ family: Family
    ) async throws {
        try await eventually("all of \(names.sorted()) answer", within: .seconds(20)) {
            let seen = try await request(60, network, family)
            return seen.failures.isEmpty && Set(seen.backends.keys) == names
        }
    }

    private func serve(_ name: String, in network: Network) async throws -> RunningProgram {
        let server = try await network[name].start(
            [try builtProduct("martlet-lab"), "serve", "--name", name])
        try await server.output.first { $0 == "ready" }
        return server
    }

    private func startServers(
        in network: Network, _ way: Way
    ) async throws -> [String: RunningProgram] {
        var servers: [String: RunningProgram] = [:]
        for name in ["server-a", "server-b", "server-c"] {
            servers[name] = try await serve(name, in: network)
            if way == .ipip {
                try await network[name].run([try builtProduct("martlet"), "decapsulate", "eth0"])
            }
        }
        return servers
    }

    private func run(
        _ way: Way, _ family: Family, in network: Network
    ) async throws -> RunningProgram {
        let backends = zip(["server-a", "server-b", "server-c"], way.addresses(family))
            .map { "      - { name: \($0), address: \"\($1)\" }" }.joined(separator: "\n")
        let text = """
            interfaces: [eth1]
            services:
              - name: web
                vip: "\(family.rawValue)"
                port: 80
                forwarding: \(way.rawValue)
                health-check: { type: http, path: /healthz, interval: 100ms, rise: 2, fall: 2 }
                backends:
            \(backends)
            """
        try text.write(
            toFile: network["balancer"].path("/run/martlet.yaml"), atomically: false,
            encoding: .utf8)
        let controller = try await network["balancer"].start(
            [try builtProduct("martlet"), "run", "--config", "/run/martlet.yaml"])
        try await controller.errors.first { $0.contains("runs on eth1") }
        return controller
    }
}
