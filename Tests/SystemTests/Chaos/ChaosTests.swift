import Foundation
import Lab
import Testing

/// Flows that are held open while the backends change: `make chaos`.
@Suite(.enabled(if: geteuid() == 0, "namespaces and BPF programs need root"), .serialized)
struct ChaosTests {
    static let names = ["server-a", "server-b", "server-c", "server-d", "server-e"]

    @Test(
        .enabled("martlet can't drain") { canDrain || Chaos.steps == 0 },
        arguments: Way.allCases, Chaos.seeds)
    func `no change breaks a connection, and a dead backend breaks its own`(
        way: Way, seed: UInt64
    ) async throws {
        let plan = ChaosPlan(
            seed: seed, salt: Way.allCases.firstIndex(of: way)!, steps: Chaos.steps,
            names: Self.names)
        try await withNetwork(way.topology(backends: Self.names.count)) { network in
            let stage = try await ChaosStage(network, way, plan, names: Self.names)
            try await stage.connections.order("open \(Chaos.connections)")
            try await stage.datagrams.order("open \(Chaos.connections / 10)")
            try await stage.connections.order("churn \(Chaos.connections / 20)")
            try await expectUnbroken(stage, after: "the beginning of seed \(seed)")
            for (number, step) in plan.steps.enumerated() {
                try await stage.carryOut(step)
                let words = "step \(number + 1) of seed \(seed): \(step)"
                guard try await expectUnbroken(stage, after: words) else { return }
            }
            try await expectOwnLosses(stage, plan)
        }
    }

    /// Expects that no flow is broken, none fails to begin, and no new one comes to a backend that
    /// gets none.
    @discardableResult
    private func expectUnbroken(_ stage: ChaosStage, after what: String) async throws -> Bool {
        var isUnbroken = true
        for (client, count) in [
            (stage.connections, Chaos.connections / 20), (stage.datagrams, 5),
        ] {
            // What began before the change came into effect has its first answer now.
            let before = try await client.order("check").open
            try await client.order("open \(count)")
            let after = try await client.order("check")
            #expect(after.broken.isEmpty, "after \(what)")
            #expect(after.failed.isEmpty, "after \(what)")
            let others = after.open.filter { name, flows in
                !stage.backends.serving.contains(name) && flows > before[name] ?? 0
            }
            #expect(others.isEmpty, "after \(what)")
            isUnbroken = isUnbroken && after.broken.isEmpty && after.failed.isEmpty
        }
        return isUnbroken
    }

    /// Expects that with a backend exactly its own connections end.
    private func expectOwnLosses(_ stage: ChaosStage, _ plan: ChaosPlan) async throws {
        let ended = try await stage.datagrams.end()
        #expect(ended.broken.isEmpty)
        try await stage.connections.order("churn 0")
        let before = try await stage.connections.order("check")
        let victim = try #require(
            before.open.filter { stage.backends.serving.contains($0.key) }
                .max { ($0.value, $0.key) < ($1.value, $1.key) })
        stage.kill(victim.key, plan.ending)
        // A process that is stopped can't be buried.
        defer { stage.kill(victim.key, .killed) }
        let after = try await stage.connections.order("check")
        #expect(after.brokenByBackend == [victim.key: victim.value], "\(after.broken)")
        #expect(after.open == before.open.filter { $0.key != victim.key })
    }

    @Test func `a balancer that forgets everything breaks flows, and each of them is noticed`()
        async throws
    {
        let plan = ChaosPlan(seed: 1, salt: 0, steps: 0, names: Self.names)
        try await withNetwork(Way.l2DSR.topology(backends: Self.names.count)) { network in
            let stage = try await ChaosStage(network, .l2DSR, plan, names: Self.names)
            for client in [stage.connections, stage.datagrams] {
                let before = try await client.order("open 400")
                #expect(before.openCount == 400)
                #expect(before.broken.isEmpty && before.failed.isEmpty)
            }
            let before = (stage.connections.latest, stage.datagrams.latest)
            try await stage.forgetEverything()
            try await expectLosses(stage.connections, since: before.0, ["reset"])
            try await expectLosses(
                stage.datagrams, since: before.1, Self.names.dropLast().map { "answered by \($0)" })
        }
    }

    /// Expects that every flow is lost that another of the four backends has got.
    private func expectLosses(
        _ client: HoldClient, since before: HoldRead, _ reasons: [String]
    ) async throws {
        let after = try await client.order("check")
        // Three quarters of 400, give or take seven times the deviation.
        #expect((239...361).contains(after.brokenCount))
        #expect(Set(after.broken.map(\.reason)) == Set(reasons), "\(after.broken)")
        #expect(after.failed.isEmpty)
        for (name, count) in before.open {
            #expect(after.open[name, default: 0] + after.brokenByBackend[name, default: 0] == count)
        }
    }

    @Test func `a plan leaves two backends that serve, whatever its seed`() {
        for seed in 1...200 as ClosedRange<UInt64> {
            let plan = ChaosPlan(seed: seed, salt: 3, steps: 30, names: Self.names)
            #expect(plan == ChaosPlan(seed: seed, salt: 3, steps: 30, names: Self.names))
            var backends = Backends(Self.names)
            for change in plan.steps.flatMap(\.changes) {
                if case .remove(let name) = change {
                    #expect(backends.members.first { $0.name == name }?.isDrained == true)
                }
                backends.apply(change)
                #expect(backends.serving.count >= 2, "seed \(seed): \(change)")
            }
            #expect(plan.steps.allSatisfy { !$0.changes.isEmpty })
            #expect(plan.kinds.count == Change.Kind.allCases.count, "seed \(seed)")
        }
    }
}

/// How much is to happen, as the environment says.
enum Chaos {
    static let connections = number("MARTLET_CHAOS_CONNECTIONS") ?? 400
    static let steps = number("MARTLET_CHAOS_STEPS") ?? 4
    /// As many as there are runs, from the given one on; without any, another one each time.
    static let seeds: [UInt64] = {
        let first = number("MARTLET_CHAOS_SEED") ?? Int.random(in: 1...1_000_000)
        return (0..<(number("MARTLET_CHAOS_RUNS") ?? 1)).map { UInt64(first + $0) }
    }()

    private static func number(_ variable: String) -> Int? {
        ProcessInfo.processInfo.environment[variable].flatMap(Int.init)
    }
}
