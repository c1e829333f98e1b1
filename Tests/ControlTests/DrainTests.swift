import Balancing
import FoundationEssentials
import Packets
import Testing

@testable import Control

/// What operators order, and what becomes of it.
struct DrainTests {
    private static let backend = BackendReference("web", "server-b")
    private static let pinning = Service.keepAlive * 2

    private func refusal(
        _ order: () async throws -> Void
    ) async throws -> Refusal {
        try #require(await #expect(throws: Refusal.self) { try await order() })
    }

    @Test func `a drained backend keeps its flows and gets no new ones, until it is undrained`()
        async throws
    {
        let stage = try await Stage()
        let flows = stage.open(0..<640)
        try await stage.controller.drain(Self.backend)
        #expect(stage.broken(flows) == [])
        #expect(!stage.open(1000..<1640).values.contains(addresses[1]))
        #expect(stage.log.take() == ["notice: web/server-b drains"])
        try await stage.controller.undrain(Self.backend)
        #expect(stage.broken(flows) == [])
        #expect(stage.open(2000..<2640).values.contains(addresses[1]))
        #expect(stage.log.take() == ["notice: web/server-b drains no more"])
        #expect(try await stage.status().backends.map { $0.drain == nil } == [true, true, true])
    }

    @Test func `status tells how many flows are left, when the last ends, and when it is over`()
        async throws
    {
        let stage = try await Stage()
        let flows = stage.open(0..<640)
        let ofBackend = flows.filter { $0.value == addresses[1] }.keys.sorted()
        try await stage.controller.drain(Self.backend)
        var drain = try #require(try await stage.status().backends[1].drain)
        #expect(drain.since == stage.now)
        #expect(drain.flowsLeft == nil, "not counted yet")
        try await stage.tick()
        #expect(stage.broken(flows) == [], "and each that sends something gets an entry")
        try await stage.tick()
        drain = try #require(try await stage.status().backends[1].drain)
        #expect(drain.flowsLeft == ofBackend.count)
        #expect(drain.isOver == false)
        for number in ofBackend.prefix(20) {
            stage.end([number])
            try await stage.tick()
        }
        drain = try #require(try await stage.status().backends[1].drain)
        let left = ofBackend.count - 20
        #expect(drain.flowsLeft == left)
        let estimate = try #require(drain.secondsLeft)
        #expect((Double(left) * 0.9...Double(left) * 1.2).contains(estimate))
        stage.end(ofBackend)
        try await stage.tick()
        drain = try #require(try await stage.status().backends[1].drain)
        #expect(drain.flowsLeft == 0)
        #expect(drain.isOver == false, "there may be silent ones")
        try await stage.pass(Self.pinning)
        #expect(try await stage.status().backends[1].drain?.isOver == true)
    }

    @Test func `at the deadline those that are left are cut, and counted`() async throws {
        let stage = try await Stage()
        let flows = stage.open(0..<640)
        let deadline = stage.now + 600
        try await stage.controller.drain(Self.backend, deadline: deadline)
        #expect(
            stage.log.take() == [
                "notice: web/server-b drains, and cuts the flows that are left at "
                    + deadline.formatted(.iso8601)
            ])
        try await stage.tick()
        #expect(stage.broken(flows) == [])
        try await stage.pass(.seconds(598))
        #expect(try await stage.status().backends[1].drain?.cut == nil)
        // Half of them end after the last time that anybody looked.
        let ofBackend = flows.filter { $0.value == addresses[1] }.keys.sorted()
        let ended = ofBackend.prefix(ofBackend.count / 2)
        stage.end(ended)
        _ = stage.log.take()
        try await stage.tick()
        let left = ofBackend.count - ended.count
        let drain = try #require(try await stage.status().backends[1].drain)
        #expect(drain.cut == left)
        #expect(drain.isOver)
        #expect(
            stage.log.take() == [
                "warning: web/server-b: its drain ends, flows that are cut: \(left)"
            ])
        #expect(stage.plane.withFlows(\.count) == 0)
        #expect(stage.broken(flows) == ofBackend, "those and no others")
        try await stage.restart()
        #expect(try await stage.status().backends[1].drain?.cut == left)
        try await stage.controller.undrain(Self.backend)
        #expect(stage.open(1000..<1640).values.contains(addresses[1]))
    }

    @Test func `another order has another deadline, or none`() async throws {
        let stage = try await Stage()
        let flows = stage.open(0..<640)
        try await stage.controller.drain(Self.backend, deadline: stage.now + 10)
        let since = stage.now
        try await stage.pass(.seconds(5))
        try await stage.controller.drain(Self.backend)
        let drain = try #require(try await stage.status().backends[1].drain)
        #expect(drain.deadline == nil)
        #expect(drain.since == since)
        try await stage.pass(.seconds(60))
        #expect(stage.broken(flows) == [])
    }

    @Test func `with full-nat nothing is sent to a backend any more that is cut`() async throws {
        var desired = web(check: nil)
        desired.services[0].forwarding = .fullNAT
        let stage = try await Stage(desired)
        try await stage.controller.drain(Self.backend, deadline: stage.now + 10)
        try await stage.tick()
        let number = try #require(stage.number(addresses[1]))
        #expect(stage.plane.contents().backends[number]?.nextHop != nil)
        try await stage.pass(.seconds(10))
        #expect(stage.plane.contents().backends[number]?.nextHop == nil)
        try await stage.controller.undrain(Self.backend)
        #expect(stage.plane.contents().backends[number]?.nextHop != nil)
    }

    @Test func `an order for nobody is refused with those that there are`() async throws {
        let stage = try await Stage()
        let controller = stage.controller
        let (service, backend) = (
            BackendReference("wep", "server-b"), BackendReference("web", "server-x")
        )
        let refused = [
            try await refusal { try await controller.drain(service) },
            try await refusal { try await controller.undrain(service) },
            try await refusal { try await controller.drain(backend) },
            try await refusal { try await controller.undrain(backend) },
        ]
        #expect(refused.allSatisfy { $0.kind == .unknown })
        for refusal in refused.prefix(2) {
            #expect(refusal.description == "there is no service wep; services are web")
        }
        for refusal in refused.suffix(2) {
            #expect(
                refusal.description == "web has no backend server-x; "
                    + "backends are server-a, server-b, server-c")
        }
    }

    @Test func `a deadline in the past is refused, and so is undraining one that is not drained`()
        async throws
    {
        let stage = try await Stage()
        var refused = try await refusal {
            try await stage.controller.drain(Self.backend, deadline: stage.now)
        }
        #expect(refused.kind == .invalid)
        #expect(
            refused.description == "cannot drain web/server-b: the deadline 2027-01-15T08:00:00Z "
                + "has passed; give one in the future, or none to wait for the last flow")
        refused = try await refusal { try await stage.controller.undrain(Self.backend) }
        #expect(refused.kind == .conflict)
        #expect(
            refused.description == "cannot undrain web/server-b: it is not drained; "
                + "`martlet status` shows which are")
        #expect(try await stage.status().backends[1].drain == nil)
    }

    @Test func `the last backend that serves is drained by force only`() async throws {
        let stage = try await Stage(web())
        await stage.tell(result(false), of: 0)
        await stage.tell(result(false), of: 2)
        let refused = try await refusal { try await stage.controller.drain(Self.backend) }
        #expect(refused.kind == .conflict)
        #expect(
            refused.description == "cannot drain web/server-b: no other backend of web can have "
                + "its new flows, which would be dropped; bring another one up first, "
                + "or say --force")
        let flows = stage.open(0..<64)
        try await stage.controller.drain(BackendReference("web", "server-a"))
        try await stage.controller.drain(Self.backend, isForced: true)
        #expect(try await stage.status().slotsWithoutOwner == 64)
        #expect(stage.broken(flows) == [], "what it has it keeps")
    }

    @Test func `a backup can take over from the last of the others`() async throws {
        var desired = web()
        desired.services[0].backends[2].isBackup = true
        let stage = try await Stage(desired)
        try await stage.controller.drain(BackendReference("web", "server-a"))
        try await stage.controller.drain(Self.backend)
        #expect(Set(stage.open(0..<64).values) == [addresses[2]])
        let refused = try await refusal {
            try await stage.controller.drain(BackendReference("web", "server-c"))
        }
        #expect(refused.kind == .conflict)
    }

    @Test func `a drain outlives the controller, with its deadline`() async throws {
        let stage = try await Stage()
        let flows = stage.open(0..<640)
        try await stage.controller.drain(Self.backend, deadline: stage.now + 600)
        let before = try await stage.status().backends[1].drain
        try await stage.restart()
        #expect(try await stage.status().backends[1].drain == before)
        #expect(
            stage.log.take().last == "notice: web/server-b drains, as it was ordered to before")
        #expect(stage.broken(flows) == [])
        #expect(!stage.open(1000..<1640).values.contains(addresses[1]))
        try await stage.pass(.seconds(599))
        #expect(stage.broken(flows) == [])
        try await stage.restart()
        try await stage.tick()
        #expect(try await stage.status().backends[1].drain?.cut != nil)
        #expect(!stage.broken(flows).isEmpty)
    }

    @Test func `a drain is the backend's at that address, whatever that is called`() async throws {
        let stage = try await Stage()
        try await stage.controller.drain(Self.backend)
        try await stage.restart {
            $0.services[0].backends[1].name = "server-d"
            $0.services[0].backends[0].name = "server-b"
        }
        let backends = try await stage.status().backends
        #expect(backends.map(\.name) == ["server-b", "server-d", "server-c"])
        #expect(backends.map { $0.drain != nil } == [false, true, false])
    }

    @Test func `an order that can't be saved is not followed`() async throws {
        let stage = try await Stage()
        stage.store.fill()
        await #expect(throws: MemoryStore.Full.self) {
            try await stage.controller.drain(Self.backend)
        }
        #expect(try await stage.status().backends[1].drain == nil)
        #expect(stage.open(0..<640).values.contains(addresses[1]))
    }

    @Test func `a drain of a dead backend does not keep its flows`() async throws {
        let stage = try await Stage(web())
        let flows = stage.open(0..<640)
        try await stage.controller.drain(Self.backend)
        await stage.tell(silence, of: 1)
        #expect(stage.broken(flows) == flows.filter { $0.value == addresses[1] }.keys.sorted())
    }
}
