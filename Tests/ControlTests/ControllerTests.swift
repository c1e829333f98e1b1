import Balancing
import FoundationEssentials
import HealthChecks
import Packets
import Synchronization
import Testing

@testable import Control

struct ControllerTests {
    /// A controller over a new plane whose backends are all reachable and up.
    private func running() async throws -> (Controller<FakePlane>, FakePlane) {
        let plane = FakePlane()
        let controller = try Controller(web(), on: plane, logger: noLogger)
        try await controller.start()
        await controller.take(allReachable)
        for address in addresses {
            await controller.take(result(true), of: ProbeTarget(check: check, address: address))
        }
        _ = plane.takeSteps()
        return (controller, plane)
    }

    private func owners(_ plane: FakePlane) -> [BackendID?] {
        plane.contents().services.values.first?.slots.map(\.owner) ?? []
    }

    @Test func `nobody serves before a probe and a next hop say so`() async throws {
        let plane = FakePlane()
        let controller = try Controller(web(), on: plane, logger: noLogger)
        try await controller.start()
        #expect(plane.shares() == [nil: 1 << 16])
        await controller.take(
            result(true), of: ProbeTarget(check: check, address: addresses[0]))
        #expect(plane.shares() == [nil: 1 << 16], "healthy, but not reachable")
        await controller.take(allReachable)
        #expect(plane.shares() == [addresses[0]: 1 << 16])
    }

    @Test func `a dead backend moves its own slots and no other, and its return moves them back`()
        async throws
    {
        let (controller, plane) = try await running()
        let before = owners(plane)
        let target = ProbeTarget(check: check, address: addresses[1])
        await controller.take(result(false), of: target)
        #expect(owners(plane) == before, "one failure is not two")
        await controller.take(result(false), of: target)
        let during = owners(plane)
        let dead = plane.contents().backends.first { $0.value.address == addresses[1] }?.key
        #expect(dead != nil)
        #expect(!during.contains(dead))
        for (old, new) in zip(before, during) where old != dead { #expect(old == new) }
        await controller.take(result(true), of: target)
        await controller.take(result(true), of: target)
        #expect(owners(plane) == before)
    }

    @Test func `a backend that can't be reached gets no flows, and is not called down`()
        async throws
    {
        let (controller, plane) = try await running()
        await controller.take([addresses[2]: .unreachable("no route")])
        #expect(plane.shares()[addresses[2]] == nil)
        let status = try await controller.status(on: [])
        let backend = status.services[0].backends[2]
        #expect(backend.health.state == .up)
        #expect(backend.way.obstacle == "no route")
        #expect(backend.slots == 0)
        #expect(status.services[0].slotsWithoutOwner == 0)
    }

    @Test func `news that changes nothing changes nothing`() async throws {
        let (controller, plane) = try await running()
        await controller.take(allReachable)
        await controller.take(
            result(true), of: ProbeTarget(check: check, address: addresses[0]))
        #expect(plane.takeSteps() == [])
    }

    @Test func `a restart takes over slots, health and next hops, and changes nothing`()
        async throws
    {
        let (first, plane) = try await running()
        await first.take([addresses[0]: .unreachable("no route")])
        _ = plane.takeSteps()
        let second = try Controller(web(), on: plane, logger: noLogger)
        try await second.start()
        #expect(plane.takeSteps() == [])
        let states = try await second.status(on: []).services[0].backends.map(\.health.state)
        #expect(states == [.unknown, .up, .up])
    }

    @Test func `what the plane refuses is tried again with the next news`() async throws {
        let (controller, plane) = try await running()
        plane.refuse(after: 0)
        let target = ProbeTarget(check: check, address: addresses[1])
        await controller.take(result(false), of: target)
        await controller.take(result(false), of: target)
        #expect(plane.shares()[addresses[1]] != nil)
        plane.refuse(after: .max)
        await controller.take(
            result(true), of: ProbeTarget(check: check, address: addresses[0]))
        #expect(plane.shares()[addresses[1]] == nil)
    }

    @Test func `what is refused is told in the status until it is done, without other news`()
        async throws
    {
        let plane = FakePlane()
        let controller = try Controller(web(check: nil), on: plane, logger: noLogger)
        try await controller.start()
        await controller.take(allReachable)
        let before = owners(plane)
        plane.refuse(after: 0)
        await controller.take([addresses[0]: .unreachable("no route")])
        #expect(owners(plane) == before)
        var service = try await controller.status(on: []).services[0]
        #expect(service.refusal == "the plane is full")
        #expect(service.backends[0].slots > 0, "it tells what the plane holds, not what it should")
        _ = plane.takeSteps()
        // It is closed and the slots move away, the next hop that should go after that stays.
        plane.refuse(after: 2)
        await controller.settle()
        #expect(plane.shares()[addresses[0]] == nil)
        #expect(try await controller.status(on: []).services[0].refusal == "the plane is full")
        _ = plane.takeSteps()
        plane.refuse(after: .max)
        await controller.settle()
        let steps = plane.takeSteps()
        #expect(steps.count == 1, "only what was not done: \(steps)")
        service = try await controller.status(on: []).services[0]
        #expect(service.refusal == nil)
        #expect(service.backends[0].slots == 0)
        await controller.settle()
        #expect(plane.takeSteps() == [])
    }

    @Test func `news of one service goes through while another one is refused`() async throws {
        let plane = FakePlane()
        var desired = web(check: nil)
        var other = desired.services[0]
        other.name = "other"
        other.ports = Ports(81)
        other.backends = [Backend(name: "server-d", address: addresses[0])]
        desired.services[0].backends.removeFirst()
        desired.services.append(other)
        let controller = try Controller(desired, on: plane, logger: noLogger)
        try await controller.start()
        plane.refuse { step in
            guard case .setNextHop(let id, _) = step else { return false }
            return plane.address(of: id) == addresses[1]
        }
        await controller.take(allReachable)
        let services = try await controller.status(on: []).services
        #expect(services.map { $0.refusal != nil } == [true, false])
        #expect(services.map(\.slotsWithoutOwner) == [65536, 0])
    }

    @Test func `down and unreachable are told apart, each with its reason and its moment`()
        async throws
    {
        let clock = Mutex(Date(timeIntervalSince1970: 1000))
        let plane = FakePlane()
        let controller = try Controller(web(), on: plane, logger: noLogger) {
            clock.withLock { $0 }
        }
        try await controller.start()
        await controller.take(allReachable)
        for (address, isUp) in zip(addresses, [true, false, true]) {
            clock.withLock { $0 += 1 }
            await controller.take(
                result(isUp), of: ProbeTarget(check: check, address: address))
        }
        await controller.take([addresses[2]: .unreachable("no route")])
        let backends = try await controller.status(on: []).services[0].backends
        #expect(backends.map(\.health.state) == [.up, .down, .up])
        #expect(backends.map(\.health.reason) == ["accepted", "refused", "accepted"])
        #expect(backends.map(\.health.since.timeIntervalSince1970) == [1001, 1002, 1003])
        #expect(backends.map(\.way.obstacle) == [nil, nil, "no route"])
        #expect(backends.map(\.way.interface) == ["eth1", "eth1", nil])
        #expect(backends.map(\.slots) == [65536, 0, 0])
        #expect(backends.map(\.share) == [1, 0, 0])
    }

    @Test func `a plan that is refused half-way is gone on with, not repeated`() async throws {
        let plane = FakePlane()
        let controller = try Controller(web(check: nil), on: plane, logger: noLogger)
        plane.refuse(after: 2)
        await #expect(throws: FakePlane.Refusal.self) { try await controller.start() }
        plane.refuse(after: .max)
        await controller.take(allReachable)
        #expect(Set(plane.shares().keys) == Set(addresses))
        #expect(plane.contents().backends.count == 3)
    }

    @Test func `services that are not desired any more are removed at the start`() async throws {
        let (_, plane) = try await running()
        let empty = DesiredState(interfaces: ["eth1"], services: [])
        try await Controller(empty, on: plane, logger: noLogger).start()
        #expect(plane.contents() == PlaneContents())
    }

    @Test func `rates are reckoned over the time between readings`() async throws {
        let clock = Mutex(Date(timeIntervalSince1970: 1000))
        let plane = FakePlane()
        let controller = try Controller(web(check: nil), on: plane, logger: noLogger) {
            clock.withLock { $0 }
        }
        try await controller.start()
        let id = try #require(plane.contents().services.keys.first)
        func count(_ packets: UInt64) {
            let count = Count(packets: packets, bytes: packets * 100)
            plane.count(
                PlaneCounters(
                    verdicts: [.init(name: "FORWARD_IPIP", text: "forwarded", count: count)],
                    services: [id: count], backends: [:]))
        }
        count(10)
        #expect(try await controller.counters().received.packetsPerSecond == nil)
        try await controller.read()
        clock.withLock { $0 += 1 }
        try await controller.read()
        clock.withLock { $0 += 1 }
        count(50)
        let report = try await controller.counters()
        #expect(report.interval == 2)
        #expect(report.received.packets == 50)
        #expect(report.received.packetsPerSecond == 20)
        #expect(report.received.bitsPerSecond == 16000)
        #expect(report.services.map(\.name) == ["web"])
        #expect(report.services[0].traffic.packetsPerSecond == 20)
        #expect(report.services[0].backends.map(\.name) == ["server-a", "server-b", "server-c"])
        #expect(try await controller.status(on: []).services[0].traffic.bitsPerSecond == 16000)
    }

    @Test func `a counter that began anew has no rate`() {
        let traffic = Traffic(Count(packets: 1), since: Count(packets: 5), seconds: 1)
        #expect(traffic.packets == 1)
        #expect(traffic.packetsPerSecond == nil)
    }
}
