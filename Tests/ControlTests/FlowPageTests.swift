import Balancing
import Packets
import Testing

@testable import Control

/// The recorded flows as people ask for them.
struct FlowPageTests {
    private func stage() async throws -> Stage {
        let stage = try await Stage()
        _ = stage.open(0..<64)
        try await stage.controller.drain(BackendReference("web", "server-b"))
        // Those of the slots that move have entries when they begin.
        _ = stage.open(1000..<1064)
        return stage
    }

    private func all(_ stage: Stage, _ filter: FlowFilter) async throws -> [FlowPage.Flow] {
        var (filter, flows) = (filter, [FlowPage.Flow]())
        while true {
            let page = try await stage.controller.flows(filter)
            #expect(page.flows.count <= filter.limit)
            flows += page.flows
            guard let next = page.next else { return flows }
            filter.cursor = next
        }
    }

    @Test func `flows have the names of their services and backends`() async throws {
        let stage = try await stage()
        let flows = try await all(stage, FlowFilter(limit: 3))
        #expect(flows.count > 3)
        #expect(Set(flows.map(\.service)) == ["web"])
        #expect(Set(flows.map(\.backend)) == ["server-a", "server-c"])
        let first = try #require(flows.first)
        #expect(first.state == "established")
        #expect(first.idle >= 1000)
        #expect(first.slot == Int(first.idle) % Stage.slots)
        #expect(first.client == nil && first.nat == nil)
        let own = try await all(stage, FlowFilter(service: "web", backend: "server-a"))
        #expect(own == flows.filter { $0.backend == "server-a" })
        #expect(try await all(stage, FlowFilter(backend: "server-a")) == own)
        #expect(try await all(stage, FlowFilter(service: "web")) == flows)
        #expect(try await all(stage, FlowFilter(state: "established")) == flows)
        #expect(try await all(stage, FlowFilter(state: "closing")) == [])
        #expect(try await all(stage, FlowFilter(backend: "server-b")) == [])
    }

    @Test(
        arguments: [
            (
                FlowFilter(service: "mail"), .unknown,
                "there is no service mail; services are web"
            ),
            (
                FlowFilter(service: "web", backend: "server-x"), .unknown,
                "web has no backend server-x; backends are server-a, server-b, server-c"
            ),
            (
                FlowFilter(backend: "server-x"), .unknown,
                "no service has a backend server-x; backends are server-a, server-b, server-c"
            ),
            (
                FlowFilter(state: "asleep"), .invalid,
                "cannot list flows that are asleep: there is no such state; states are half-open, "
                    + "established, closing, datagrams, affinity"
            ),
            (
                FlowFilter(limit: 0), .invalid,
                "cannot list 0 flows at once: it is 1 to 1000"
            ),
            (
                FlowFilter(limit: 1001), .invalid,
                "cannot list 1001 flows at once: it is 1 to 1000"
            ),
        ] as [(FlowFilter, Refusal.Kind, String)])
    func `what there is not is refused, with what there is`(
        filter: FlowFilter, kind: Refusal.Kind, text: String
    ) async throws {
        let stage = try await Stage()
        let refusal = try #require(
            await #expect(throws: Refusal.self) { _ = try await stage.controller.flows(filter) })
        #expect(refusal.kind == kind)
        #expect(refusal.description == text)
    }
}
