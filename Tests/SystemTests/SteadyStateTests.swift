import Foundation
import Lab
import Testing

/// What connections leave behind while nothing changes.
@Suite(.enabled(if: geteuid() == 0, "namespaces and BPF programs need root"), .serialized)
struct SteadyStateTests {
    /// `martlet status --json`
    private struct Status: Decodable {
        let flowTable: FlowTable
        let services: [Service]

        struct FlowTable: Decodable {
            let entries: Int
            let events: [String: Int]
        }
        struct Service: Decodable {
            let moving: Int
            let pinning: Int
            let pinned: Int

            var isSettled: Bool { moving + pinning + pinned == 0 }
        }
    }

    private func status(of network: Network) async throws -> Status {
        try await network["balancer"].decode([try builtProduct("martlet"), "status", "--json"])
    }

    @Test(arguments: Family.allCases)
    func `connections through settled slots leave nothing in the flow table`(
        family: Family
    ) async throws {
        try await withNetwork(.oneSegment()) { network in
            _ = try await network.startServers(.l2DSR)
            // The backends' next hops become known one after the other: that moves slots, too.
            try await network.balance(
                ServiceText(
                    "web", .l2DSR, family, "port: 80", "hold: 100ms", "keep-alive: 100ms"))
            try await eventually("every slot is settled", within: .seconds(60)) {
                try await status(of: network).services.allSatisfy(\.isSettled)
            }
            let tally = try await network.request(400, family)
            #expect(tally.failures == [])
            #expect(Set(tally.backends.keys) == Set(servers))
            let after = try await status(of: network)
            #expect(after.services.map(\.isSettled) == [true])
            #expect(after.flowTable.entries == 0)
            #expect(after.flowTable.events == ["made": 0, "refused": 0, "evicted": 0, "frozen": 0])
        }
    }
}
