import Foundation
import Lab
import Testing

/// From a client through the VIP to a backend: the product as its users have it.
@Suite(.enabled(if: geteuid() == 0, "namespaces and BPF programs need root"), .serialized)
struct EndToEndTests {
    @Test(arguments: Way.allCases, Family.allCases)
    func `requests reach every backend, go on without a dead one, and reach it when it is back`(
        way: Way, family: Family
    ) async throws {
        try await withNetwork(way.topology) { network in
            var servers = try await network.startServers(way)
            let controller = try await network.runController(way, family)
            try await network.waitForAllBackends(family)

            servers["server-b"]?.kill(SIGKILL)
            // Not by its log: on a busy machine a probe may have been late before that.
            try await eventually("server-b is found dead") {
                let status: StatusRead = try await network["balancer"].decode(
                    [try builtProduct("martlet"), "status", "--json"])
                let health = status.services[0].backends[1].health
                return health.state == "down" && health.reason == "connection refused"
            }
            let without = try await network.request(200, family)
            #expect(without.failures == [])
            #expect(Set(without.backends.keys) == ["server-a", "server-c"])

            servers["server-b"] = try await network.serve("server-b")
            try await controller.errors.first { $0.contains("web/server-b is up") && isLater($0) }
            try await network.waitForAllBackends(family)
        }
    }

    @Test(arguments: Way.allCases, Family.allCases)
    func `no request fails while the controller is killed, is away and is started again`(
        way: Way, family: Family
    ) async throws {
        try await withNetwork(way.topology) { network in
            _ = try await network.startServers(way)
            let controller = try await network.runController(way, family)
            try await network.waitForAllBackends(family)
            let client = try await network["client"].start(
                [
                    try builtProduct("martlet-lab"), "request", "--to", family.target,
                    "--until-input-ends", "--concurrency", "4", "--rate", "200",
                ])
            try await client.output.first { $0.contains("\"n\":100,") || $0.contains("\"n\":100}") }
            controller.kill(SIGKILL)
            _ = await controller.wait()
            try await client.output.first { $0.contains("\"n\":300,") || $0.contains("\"n\":300}") }
            _ = try await network.runController(way, family)
            try await client.output.first { $0.contains("\"n\":500,") || $0.contains("\"n\":500}") }
            client.closeInput()
            let status = await client.wait().status
            let failed = client.output.all.filter { $0.contains("failure") }
            #expect(failed == [])
            #expect(status == .exited(0))
        }
    }

    private func isLater(_ line: String) -> Bool { line.contains("from=down") }

    @Test(arguments: Family.allCases)
    func `a ping to the VIP is answered in the driver, of any size that fits`(
        family: Family
    ) async throws {
        try await withNetwork(.oneSegment()) { network in
            _ = try await network.startServers(.l2DSR)
            _ = try await network.runController(.l2DSR, family)
            for size in ["0", "56", "1400"] {
                let output = try await network["client"].run([
                    "ping", "-n", "-c", "3", "-i", "0.05", "-W", "2", "-s", size, family.rawValue,
                ])
                #expect(output.stdout.contains("3 received"))
            }
            let counters = try await network["balancer"].run([
                try builtProduct("martlet"), "counters",
            ]).stdout
            let line = counters.split(separator: "\n").first { $0.contains("REPLY_ECHO") } ?? ""
            #expect(line.split(separator: " ").first == "9", "\(counters)")
        }
    }
}
