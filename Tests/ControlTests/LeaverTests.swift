import Balancing
import FoundationEssentials
import HealthChecks
import Packets
import Testing

@testable import Control

/// Backends that are not in the configuration any more.
struct LeaverTests {
    private static let pinning = Service.keepAlive * 2
    private static let leaver = BackendReference("web", "server-b")

    /// A stage whose backend `server-b` has just been removed from the file.
    private func leaving(
        _ desired: DesiredState = web(check: nil)
    ) async throws -> (Stage, flows: [Int: IPAddress]) {
        let stage = try await Stage(desired)
        let flows = stage.open(0..<640)
        try await stage.restart { $0.services[0].backends.remove(at: 1) }
        return (stage, flows)
    }

    @Test func `a backend that left the file is drained, under its name, and keeps its flows`()
        async throws
    {
        let (stage, flows) = try await leaving()
        #expect(
            stage.log.take() == [
                "notice: web/server-b is not in the configuration any more: it drains"
            ])
        #expect(stage.broken(flows) == [])
        #expect(!stage.open(1000..<1640).values.contains(addresses[1]))
        try await stage.tick(2)
        let backend = try #require(try await stage.status().backends.last)
        #expect(backend.name == "server-b")
        #expect(backend.isLeaving)
        #expect(backend.health.reason == "not in the configuration any more")
        #expect(backend.health.since == stage.now - 2)
        #expect(backend.drain?.since == stage.now - 2)
        #expect(backend.drain?.flowsLeft != nil)
        let names = try await stage.controller.counters().services[0].backends.map(\.name)
        #expect(Set(names) == ["server-a", "server-b", "server-c"])
    }

    @Test func `it is removed when its last flow has ended`() async throws {
        let (stage, flows) = try await leaving()
        try await stage.tick()
        #expect(stage.broken(flows) == [])
        try await stage.pass(Self.pinning)
        try await stage.tick()
        #expect(stage.broken(flows) == [])
        #expect(stage.number(addresses[1]) != nil)
        let last = try #require(flows.filter { $0.value == addresses[1] }.keys.max())
        stage.end(flows.keys.filter { $0 != last })
        try await stage.tick(2)
        #expect(stage.broken([last: addresses[1]]) == [])
        #expect(stage.number(addresses[1]) != nil)
        stage.end([last])
        _ = stage.log.take()
        try await stage.tick(3)
        #expect(stage.log.take() == ["notice: web/server-b has no flows any more, and is removed"])
        #expect(stage.number(addresses[1]) == nil)
        #expect(try await stage.status().backends.map(\.name) == ["server-a", "server-c"])
        #expect(stage.store.load()?.drains == [])
        #expect(stage.store.load()?.known.map(\.backend) == ["server-a", "server-c"])
    }

    @Test func `one that may have silent flows is not removed before they had time to speak`()
        async throws
    {
        let (stage, flows) = try await leaving()
        try await stage.tick()
        try await stage.pass(Self.pinning - .seconds(1))
        #expect(stage.number(addresses[1]) != nil)
        #expect(stage.broken(flows) == [])
    }

    @Test func `a deadline cuts what it has left, and removes it`() async throws {
        let (stage, flows) = try await leaving()
        try await stage.controller.drain(Self.leaver, deadline: stage.now + 60)
        try await stage.tick()
        #expect(stage.broken(flows) == [])
        try await stage.restart()
        try await stage.pass(.seconds(58))
        #expect(stage.broken(flows) == [])
        let drain = try await stage.status().backends.last?.drain
        #expect(drain?.deadline == stage.now + 1)
        _ = stage.log.take()
        try await stage.tick(2)
        let count = flows.values.count { $0 == addresses[1] }
        #expect(
            stage.log.take() == [
                "warning: web/server-b: its drain ends, flows that are cut: \(count)",
                "notice: web/server-b has no flows any more, and is removed",
            ])
        #expect(stage.number(addresses[1]) == nil)
        #expect(stage.broken(flows).count == count)
        try await stage.restart()
        #expect(try await stage.status().backends.map(\.name) == ["server-a", "server-c"])
    }

    @Test func `one that is silent while others answer takes its flows with it`() async throws {
        let (stage, flows) = try await leaving(web())
        let number = try #require(stage.number(addresses[1]))
        let own = flows.filter { $0.value == addresses[1] }.keys.sorted()
        let target = ProbeTarget(check: check, address: addresses[1])
        #expect(await stage.controller.probeTargets.contains(target))
        for _ in 0..<3 { await stage.controller.take(silence, of: target) }
        #expect(stage.broken(flows) == [], "nobody else was heard: it may be us")
        for _ in 0..<3 {
            await stage.tell(result(true), of: 0)
            await stage.controller.take(silence, of: target)
        }
        #expect(!own.isEmpty)
        #expect(stage.broken(flows) == own)
        try await stage.tick(2)
        #expect(stage.plane.takeOrders().contains { $0.lost == [number] })
        #expect(stage.number(addresses[1]) == nil, "it has nothing left to wait for")
    }

    @Test func `it comes back by being added to the file, and not by an order`() async throws {
        let (stage, flows) = try await leaving()
        let refused = await #expect(throws: Refusal.self) {
            try await stage.controller.undrain(Self.leaver)
        }
        #expect(
            refused?.description == "cannot undrain web/server-b: it is not in the configuration "
                + "any more; add it there")
        try await stage.restart { $0 = web(check: nil) }
        #expect(stage.broken(flows) == [])
        #expect(try await stage.status().backends.map { $0.drain == nil } == [true, true, true])
        #expect(stage.open(1000..<1640).values.contains(addresses[1]))
    }

    @Test func `one that was drained before it left serves when it comes back`() async throws {
        let stage = try await Stage()
        try await stage.controller.drain(Self.leaver)
        let since = stage.now
        try await stage.pass(.seconds(5))
        try await stage.restart { $0.services[0].backends.remove(at: 1) }
        #expect(try await stage.status().backends.last?.drain?.since == since)
        try await stage.restart { $0 = web(check: nil) }
        #expect(try await stage.status().backends.map { $0.drain != nil } == [false, false, false])
    }

    @Test func `one whose name another backend has now is called by its address`() async throws {
        let stage = try await Stage()
        let flows = stage.open(0..<640)
        let address = try #require(IPAddress("192.168.1.105"))
        try await stage.restart { $0.services[0].backends[1].address = address }
        let backends = try await stage.status().backends
        #expect(backends.map(\.name) == ["server-a", "server-b", "server-c", "192.168.1.102"])
        #expect(backends.map { $0.drain != nil } == [false, false, false, true])
        #expect(stage.broken(flows) == [])
    }

    @Test func `its flows stay too when the service has other ports by now`() async throws {
        let stage = try await Stage()
        let flows = stage.open(0..<640)
        try await stage.restart {
            $0.services[0].backends.remove(at: 1)
            $0.services[0].ports = Ports([79...80])
        }
        #expect(
            try await stage.status().backends.map(\.name) == ["server-a", "server-c", "server-b"])
        #expect(stage.broken(flows) == [])
    }

    @Test(arguments: [Scheduler.leastConnections, .roundRobin])
    func `flows that all have entries stay as well`(scheduler: Scheduler) async throws {
        var desired = web(check: nil)
        desired.services[0].scheduler = scheduler
        let (stage, flows) = try await leaving(desired)
        #expect(stage.plane.withFlows(\.count) == 640)
        try await stage.tick()
        try await stage.pass(Self.pinning)
        try await stage.tick(2)
        #expect(stage.broken(flows) == [])
        stage.end(flows.keys)
        try await stage.tick(2)
        #expect(stage.number(addresses[1]) == nil)
    }

    @Test func `a leaver of a service that can't be brought up to date stays`() async throws {
        let (stage, flows) = try await leaving()
        stage.end(flows.keys)
        try await stage.tick()
        stage.plane.refuse { if case .removeBackend = $0 { true } else { false } }
        try await stage.pass(Self.pinning)
        try await stage.tick(2)
        #expect(stage.number(addresses[1]) != nil)
        #expect(try await stage.status().refusal == "the plane is full")
        stage.plane.refuse { _ in false }
        try await stage.tick()
        #expect(stage.number(addresses[1]) == nil)
        #expect(try await stage.status().refusal == nil)
    }
}
