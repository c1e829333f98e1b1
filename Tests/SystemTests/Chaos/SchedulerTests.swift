import Foundation
import Lab
import Testing

/// Which backends real connections come to, by scheduler.
@Suite(.enabled(if: geteuid() == 0, "namespaces and BPF programs need root"), .serialized)
struct SchedulerTests {
    /// `web` with three backends, in the order of their names.
    private static func configuration(
        _ way: Way, _ keys: [String] = [], backends keysOfBackends: [String] = ["", "", ""]
    ) -> String {
        let check = "{ type: http, path: /healthz, port: 8080, interval: 500ms, rise: 1, fall: 2 }"
        let backends = zip(zip(servers, way.addresses(.v4)), keysOfBackends)
            .map { "- { name: \($0.0), address: \($0.1)\($1) }" }
        let lines =
            ["- name: web", "  vip: \(Family.v4.rawValue)", "  port: 80"]
            + ["forwarding: \(way.rawValue)", "health-check: \(check)"].map { "  \($0)" }
            + keys.map { "  \($0)" } + ["  backends:"] + backends.map { "    \($0)" }
        return "\(way.nodeSettings)\nservices:\n" + lines.map { "  \($0)\n" }.joined()
    }

    /// Whether this build knows such keys.
    private static func knows(_ keys: String..., backend: String = "") -> Bool {
        accepts(configuration(.l2DSR, keys, backends: [backend, "", ""]))
    }

    /// Runs `body` with a client, when all backends get flows.
    private func balance(
        _ way: Way, _ keys: String..., backends: [String] = ["", "", ""], client: [String] = [],
        prepare: (Network, [String: RunningProgram]) async throws -> Void = { _, _ in },
        _ body: (Network, HoldClient) async throws -> Void
    ) async throws {
        try await withNetwork(way.topology) { network in
            let started = try await network.startHoldServers(servers, way)
            try await prepare(network, started)
            _ = try await network.runController(
                configuration: Self.configuration(way, keys, backends: backends))
            try await eventually("every backend gets flows", within: .seconds(20)) {
                let status: StatusRead = try await network["balancer"].decode(
                    [try builtProduct("martlet"), "status", "--json"])
                return status.services[0].backends.allSatisfy { $0.slots > 0 }
            }
            let holder = try await HoldClient(
                in: network["client"], to: Family.v4.target, options: client)
            try await body(network, holder)
            let end = try await holder.end()
            #expect(end.broken.isEmpty)
        }
    }

    @Test(
        .enabled("no such scheduler") { knows("scheduler: round-robin") }, arguments: Way.allCases)
    func `round-robin gives every backend exactly its turns`(way: Way) async throws {
        let weights = [", weight: 1", ", weight: 3", ", weight: 2"]
        try await balance(way, "scheduler: round-robin", backends: weights) { _, client in
            for rounds in 1...4 {
                let report = try await client.order("open 60")
                #expect(
                    report.open
                        == [
                            "server-a": 10 * rounds, "server-b": 30 * rounds,
                            "server-c": 20 * rounds,
                        ])
            }
        }
    }

    @Test(
        .enabled("no such scheduler") { knows("scheduler: least-connections") },
        arguments: Way.allCases)
    func `least-connections gives the next connection to the backend with the fewest`(
        way: Way
    ) async throws {
        try await balance(way, "scheduler: least-connections") { _, client in
            let equal = try await client.orderEach("open 1", 30)
            #expect(equal.open == ["server-a": 10, "server-b": 10, "server-c": 10])
            try await client.order("close 6 server-b")
            try await client.order("close 3 server-c")
            // Until the ends have been noticed everywhere.
            try await eventually("server-b has the fewest") {
                let before = client.latest.open
                let after = try await client.order("open 1").open
                let chosen = after.first { $0.value > before[$0.key] ?? 0 }?.key ?? ""
                try await client.order("close 1 \(chosen)")
                return chosen == "server-b"
            }
            let three = try await client.orderEach("open 1", 3)
            #expect(three.open == ["server-a": 10, "server-b": 7, "server-c": 7])
            let all = try await client.orderEach("open 1", 6)
            #expect(all.open == ["server-a": 10, "server-b": 10, "server-c": 10])
        }
    }

    @Test(
        .enabled("no such scheduler") { knows("scheduler: least-connections") },
        arguments: [Way.l2DSR, .fullNAT])
    func `least-connections keeps connections in proportion to the weights`(
        way: Way
    ) async throws {
        let weights = [", weight: 1", ", weight: 3", ", weight: 2"]
        try await balance(way, "scheduler: least-connections", backends: weights) { _, client in
            let report = try await client.orderEach("open 1", 60)
            #expect(report.open == ["server-a": 10, "server-b": 30, "server-c": 20])
        }
    }

    /// Without translation latencies are those of the probes; the kernel's SYN-ACK would come at
    /// once, however late the server is.
    @Test(
        .enabled("no such scheduler") { knows("scheduler: response-time") },
        arguments: [Way.l2DSR, .ipip])
    func `response-time gives a backend that answers 10 ms later its smaller share`(
        way: Way
    ) async throws {
        try await balance(
            way, "scheduler: response-time",
            prepare: { _, started in
                for (name, delay) in [("server-a", 10), ("server-b", 10), ("server-c", 20)] {
                    try started[name]?.write(line: "delay \(delay)")
                    try await started[name]?.output.first { $0 == "delay \(delay)" }
                }
            }
        ) { network, client in
            // What a busy machine adds to 10, 10 and 20 ms is part of what the balancer goes by,
            // and changes with each probe.
            var before: [Double] = []
            try await eventually("server-c is the slowest") {
                before = try await network.latencies()
                return before.count == 3 && before[2] > 1.3 * max(before[0], before[1])
            }
            let report = try await client.order("open 500")
            let after = try await network.latencies()
            let shares = [before, after].map { latencies in
                500 / latencies[2] / latencies.map { 1 / $0 }.reduce(0, +)
            }
            let late = Double(report.open["server-c"] ?? 0)
            #expect(late > 0.75 * shares.min()!, "\(report.open), \(before), \(after)")
            #expect(late < 1.25 * shares.max()!, "\(report.open), \(before), \(after)")
            for name in ["server-a", "server-b"] {
                #expect(Double(report.open[name] ?? 0) > late, "\(report.open)")
            }
        }
    }

    /// The slot is chosen before the way of forwarding matters.
    @Test(arguments: [Way.l2DSR])
    func `maglev keeps to the weights within 2 percent of all connections`(way: Way) async throws {
        let weights = [", weight: 1", ", weight: 3", ", weight: 2"]
        try await balance(
            way, backends: weights, client: ["--interval", "60000"]
        ) { network, client in
            // Several times the deviation of such a choice at random, which is half a percent.
            let count = 10000
            let report = try await client.order("open \(count)")
            #expect(report.failed.isEmpty)
            for (name, weight) in zip(servers, [1.0, 3, 2]) {
                let share = Double(report.open[name] ?? 0) / Double(count)
                #expect(abs(share - weight / 6) < 0.02, "\(report.open)")
            }
        }
    }

    @Test(
        .enabled("no affinity") { knows("affinity: client") },
        arguments: zip(
            Way.allCases,
            ["maglev", "round-robin", "least-connections", "response-time", "round-robin"]))
    func `with affinity all connections of a client's address come to one backend`(
        way: Way, scheduler: String
    ) async throws {
        let sources = (0..<8).map { "\(way.clientNetwork).\(20 + $0)" }
        try await balance(
            way, "scheduler: \(scheduler)", "affinity: client",
            prepare: { network, _ in
                for source in sources {
                    try await network["client"].run([
                        "ip", "address", "add", "\(source)/24", "dev", "eth0",
                    ])
                }
            }
        ) { network, _ in
            var chosen: Set<String> = []
            for source in sources {
                let client = try await HoldClient(
                    in: network["client"], to: Family.v4.target, options: ["--from", source])
                let report = try await client.order("open 20")
                #expect(report.open.count == 1 && report.openCount == 20, "\(report)")
                chosen.formUnion(report.open.keys)
                #expect(try await client.end().broken.isEmpty)
            }
            #expect(chosen.count > 1, "\(sources.count) clients at one backend")
        }
    }

    @Test(
        .enabled("no max-connections") {
            knows("scheduler: round-robin", backend: ", max-connections: 10")
        },
        arguments: zip(
            Way.allCases,
            ["maglev", "round-robin", "least-connections", "maglev", "least-connections"]))
    func `a backend gets no more connections than it takes, and then the others do`(
        way: Way, scheduler: String
    ) async throws {
        let limits = [", max-connections: 10", "", ", max-connections: 5"]
        try await balance(way, "scheduler: \(scheduler)", backends: limits) { _, client in
            let report = try await client.order("open 100")
            #expect(report.open == ["server-a": 10, "server-b": 85, "server-c": 5])
            #expect(report.failed.isEmpty)
            try await client.order("close 4 server-a")
            try await eventually("server-a is full again") {
                try await client.order("open 5").open["server-a"] == 10
            }
            #expect(client.latest.open["server-c"] == 5)
        }
    }
}

extension Way {
    /// The first three numbers of the client's address.
    fileprivate var clientNetwork: String {
        switch self {
        case .l2DSR, .fullNAT: "192.168.1"
        case .ipip, .gue, .nat: "192.168.0"
        }
    }
}

extension Network {
    /// Of the backends of the first service, in microseconds.
    fileprivate func latencies() async throws -> [Double] {
        let status: StatusRead = try await self["balancer"].decode(
            [try builtProduct("martlet"), "status", "--json"])
        return status.services[0].backends.compactMap { $0.latency.map(Double.init) }
    }
}

extension HoldClient {
    /// Gives the same order again and again.
    fileprivate func orderEach(_ line: String, _ count: Int) async throws -> HoldRead {
        for _ in 0..<count { try await order(line) }
        return latest
    }
}
