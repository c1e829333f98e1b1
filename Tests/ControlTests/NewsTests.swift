import Balancing
import FoundationEssentials
import HealthChecks
import Packets
import Testing

@testable import Control

/// What the controller makes of news: whose flows live, and who gets new ones.
struct NewsTests {
    private static let pinning = Service.keepAlive * 2

    @Test func `a backend that is down but answers keeps its flows`() async throws {
        let stage = try await Stage(web())
        let flows = stage.open(0..<640)
        await stage.tell(result(false), of: 1)
        #expect(stage.broken(flows) == [])
        #expect(!stage.open(1000..<1640).values.contains(addresses[1]))
        try await stage.pass(Service.hold)
        #expect(stage.broken(flows) == [])
        try await stage.pass(Self.pinning)
        try await stage.tick(3)
        #expect(stage.broken(flows) == [])
    }

    @Test func `a backend that returns has those that opened meanwhile stay elsewhere`()
        async throws
    {
        let stage = try await Stage(web())
        var flows = stage.open(0..<640)
        await stage.tell(result(false), of: 1)
        flows.merge(stage.open(1000..<1640)) { $1 }
        await stage.tell(result(true), of: 1)
        flows.merge(stage.open(2000..<2640)) { $1 }
        for wait in [Service.hold, Self.pinning, .seconds(1), .seconds(1)] {
            try await stage.pass(wait)
            #expect(stage.broken(flows) == [])
        }
    }

    @Test func `a silent backend is lost: slots and table forget it at once`() async throws {
        let stage = try await Stage(web())
        let flows = stage.open(0..<640)
        // It has entries too, of the time in which server-a was away.
        await stage.tell(result(false), of: 0)
        let later = stage.open(1000..<1640)
        let number = try #require(stage.number(addresses[1]))
        _ = stage.plane.takeSteps()
        await stage.tell(silence, of: 1)
        let forgotten = stage.plane.takeSteps().compactMap { step -> Set<BackendID>? in
            guard case .forgetFlows(let backends) = step else { return nil }
            return backends
        }
        #expect(forgotten == [[number]])
        for service in stage.plane.contents().services.values {
            #expect(service.slots.allSatisfy { $0.owner != number && $0.former != number })
        }
        let all = flows.merging(later) { $1 }
        #expect(stage.broken(all) == all.filter { $0.value == addresses[1] }.keys.sorted())
        try await stage.tick()
        #expect(stage.plane.takeOrders().last?.lost == [number])
        // It answers again: what it has from now on is its own.
        await stage.tell(result(true), of: 1)
        try await stage.tick()
        #expect(stage.plane.takeOrders().last?.lost == [])
    }

    @Test func `flows of a dead host are forgotten for all of its services together`() async throws
    {
        var desired = web()
        for port in 81...90 {
            var service = desired.services[0]
            service.name = "web-\(port)"
            service.ports = Ports(UInt16(port))
            desired.services.append(service)
        }
        let stage = try await Stage(desired)
        let target = ProbeTarget(check: check, address: addresses[1])
        await stage.controller.take(silence, of: target)
        await stage.controller.take(silence, of: target)
        let forgotten = stage.plane.takeSteps().compactMap { step -> Int? in
            guard case .forgetFlows(let backends) = step else { return nil }
            return backends.count
        }
        #expect(forgotten == [11])
    }

    @Test func `flows are not forgotten while slots that could not be written name their backend`()
        async throws
    {
        let stage = try await Stage(web())
        stage.plane.refuse { if case .writeSlots = $0 { true } else { false } }
        await stage.tell(silence, of: 1)
        func forgets(_ steps: [Step]) -> Bool {
            steps.contains { if case .forgetFlows = $0 { true } else { false } }
        }
        #expect(!forgets(stage.plane.takeSteps()))
        stage.plane.refuse { _ in false }
        try await stage.tick()
        #expect(forgets(stage.plane.takeSteps()))
    }

    @Test func `flows that could not be forgotten are forgotten the next second`() async throws {
        let stage = try await Stage(web())
        let flows = stage.open(0..<640)
        await stage.tell(result(false), of: 0)
        _ = stage.open(1000..<1640)
        stage.plane.refuse { if case .forgetFlows = $0 { true } else { false } }
        await stage.tell(silence, of: 1)
        let before = stage.plane.withFlows(\.count)
        stage.plane.refuse { _ in false }
        await stage.controller.settle()
        #expect(stage.plane.withFlows(\.count) < before)
        #expect(stage.broken(flows) == flows.filter { $0.value == addresses[1] }.keys.sorted())
    }

    @Test func `with too few backends up health is ignored, and that is told loudly`()
        async throws
    {
        var desired = web()
        desired.services[0].panicThreshold = 50
        let stage = try await Stage(desired)
        await stage.tell(result(false), of: 0)
        #expect(stage.log.take() == ["warning: web/server-a is down: refused"])
        #expect(try await stage.status().isPanicking == false)
        await stage.tell(silence, of: 1)
        #expect(
            stage.log.take() == [
                "critical: web panics: too few backends are up, so their health is ignored",
                "warning: web/server-b is down: no answer in 500 ms",
            ])
        let service = try await stage.status()
        #expect(service.isPanicking)
        #expect(service.backends.map { $0.slots > 0 } == [true, true, true])
        #expect(service.backends.map(\.health.state) == [.down, .down, .up])
        await stage.tell(result(true), of: 0)
        #expect(stage.log.take().first == "notice: web panics no more: enough backends are up")
        #expect(try await stage.status().isPanicking == false)
    }

    @Test func `that new flows go to the backup is told, and when they do no more`() async throws {
        var desired = web()
        desired.services[0].backends[2].isBackup = true
        let stage = try await Stage(desired)
        await stage.tell(result(false), of: 0)
        await stage.tell(result(false), of: 1)
        #expect(
            stage.log.take().contains(
                "warning: web: new flows go to the backup, for no other backend can serve"))
        var service = try await stage.status()
        #expect(service.usesBackup)
        #expect(service.backends.map(\.slots) == [0, 0, 64])
        #expect(service.backends.map(\.isBackup) == [false, false, true])
        let flows = stage.open(0..<64)
        await stage.tell(result(true), of: 0)
        #expect(stage.log.take().first == "notice: web: new flows go to the backup no more")
        service = try await stage.status()
        #expect(!service.usesBackup)
        #expect(service.backends.map(\.slots) == [64, 0, 0])
        #expect(stage.broken(flows) == [])
    }

    @Test func `a slow start goes on by itself, without any probe, and ends`() async throws {
        var desired = web()
        desired.services[0].slowStart = .seconds(30)
        let stage = try await Stage(desired)
        try await stage.pass(.seconds(60))
        let whole = try await stage.status().backends[1].slots
        await stage.tell(result(false), of: 1)
        await stage.tell(result(true), of: 1)
        var shares: [Double] = []
        for _ in 0...30 {
            shares.append(try await stage.status().backends[1].readiness)
            try await stage.tick()
        }
        #expect(shares.first == 1.0 / 16)
        #expect(shares.last == 1)
        #expect(shares == shares.sorted())
        #expect(Set(shares).count == 16)
        #expect(try await stage.status().backends[1].slots == whole)
    }

    @Test func `a controller that starts begins no slow start of those that served`() async throws {
        var desired = web()
        desired.services[0].slowStart = .seconds(30)
        let stage = try await Stage(desired)
        try await stage.pass(.seconds(60))
        _ = stage.plane.takeSteps()
        try await stage.restart(probed: [0, 1, 2])
        #expect(try await stage.status().backends.map(\.readiness) == [1, 1, 1])
        #expect(stage.phases() == [.settled: 64])
    }

    @Test func `response-time is told how long probes take, as soon as they do`() async throws {
        var desired = web()
        desired.services[0].scheduler = .responseTime
        let stage = try await Stage(desired)
        let target = ProbeTarget(check: check, address: addresses[1])
        await stage.controller.take(result(true, latency: .milliseconds(20)), of: target)
        #expect(stage.plane.takeLatencies() == [[addresses[1]: 20_000]])
        #expect(try await stage.status().backends[1].latency == 20_000)
        await stage.controller.take(result(false, latency: .milliseconds(90)), of: target)
        #expect(stage.plane.takeLatencies() == [])
    }

    @Test func `where the plane measures, it is not told`() async throws {
        var desired = web()
        desired.services[0].scheduler = .responseTime
        desired.services[0].forwarding = .nat
        let stage = try await Stage(desired)
        await stage.controller.take(
            result(true, latency: .milliseconds(20)),
            of: ProbeTarget(check: check, address: addresses[1]))
        #expect(stage.plane.takeLatencies() == [])
    }

    @Test func `least-connections counts flows alone: every latency is 1, from the start`()
        async throws
    {
        var desired = web()
        desired.services[0].scheduler = .leastConnections
        let stage = try await Stage(desired)
        await stage.controller.take(
            result(true, latency: .milliseconds(20)),
            of: ProbeTarget(check: check, address: addresses[1]))
        #expect(stage.plane.takeLatencies() == [], "it has been told")
        try await stage.restart()
        #expect(
            stage.plane.takeLatencies()
                == [Dictionary(uniqueKeysWithValues: addresses.map { ($0, 1) })])
    }

    @Test func `loads say who is closed and how much each bears, by weight`() async throws {
        var desired = web()
        desired.services[0].scheduler = .leastConnections
        desired.services[0].backends[0].weight = 3
        desired.services[0].backends[2].maxConnections = 7
        let stage = try await Stage(desired)
        try await stage.controller.drain(BackendReference("web", "server-b"))
        let backends = stage.plane.contents().backends.values
        let loads = addresses.map { address in
            backends.first { $0.address == address }?.load
        }
        #expect(
            loads == [
                PlaneContents.Load(weight: 3), PlaneContents.Load(isClosed: true),
                PlaneContents.Load(limit: 7),
            ])
    }

    @Test func `a probe that brings no news does not touch the plane`() async throws {
        let stage = try await Stage(web())
        for _ in 0..<100 { await stage.tell(result(true), of: 0) }
        #expect(stage.plane.takeSteps() == [])
        #expect(stage.plane.takeOrders() == [])
        #expect(stage.plane.takeLatencies() == [])
    }
}
