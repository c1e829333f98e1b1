import Balancing
import FoundationEssentials
import Packets
import Testing

@testable import Control

/// Slots go from phase to phase as docs/consistency.md says.
struct PhaseTests {
    private static let hold = Service.hold
    private static let pinning = Service.keepAlive * 2

    /// A stage whose backend 1 has just gone down, though it still answers.
    private func moving() async throws -> (Stage, slots: Int, flows: [Int: IPAddress]) {
        let stage = try await Stage(web())
        let flows = stage.open(0..<640)
        await stage.tell(result(false), of: 1)
        let moving = try #require(stage.phases()[.moving])
        return (stage, moving, flows)
    }

    @Test func `a slot moves for the hold, is pinned for twice the keep-alive, and settles`()
        async throws
    {
        let (stage, slots, flows) = try await moving()
        #expect(slots == flows.values.count { $0 == addresses[1] } / 10)
        try await stage.pass(Self.hold - .seconds(1))
        #expect(stage.phases() == [.settled: 64 - slots, .moving: slots])
        try await stage.tick()
        #expect(stage.phases() == [.settled: 64 - slots, .pinning: slots])
        #expect(stage.broken(flows) == [], "each has an entry now")
        try await stage.pass(Self.pinning - .seconds(1))
        #expect(stage.phases() == [.settled: 64 - slots, .pinning: slots])
        try await stage.tick()
        #expect(stage.phases() == [.settled: 64 - slots, .pinned: slots])
        #expect(stage.broken(flows) == [])
        try await stage.tick(5)
        #expect(stage.phases() == [.settled: 64 - slots, .pinned: slots], "there are entries")
        stage.end(flows.keys)
        try await stage.tick()
        #expect(stage.phases() == [.settled: 64])
    }

    @Test func `a slot settles by a sweep that began a second after it was pinned, not before`()
        async throws
    {
        let (stage, slots, flows) = try await moving()
        stage.end(flows.keys)
        try await stage.pass(Self.hold)
        try await stage.pass(Self.pinning)
        #expect(stage.phases()[.pinned] == slots)
        try await stage.pass(.milliseconds(900))
        #expect(stage.phases()[.pinned] == slots, "packets under way have read the old word")
        try await stage.pass(.milliseconds(100))
        #expect(stage.phases() == [.settled: 64])
    }

    @Test func `slots with a flow of another backend stay pinned, the others settle`() async throws
    {
        let (stage, slots, flows) = try await moving()
        let stayed = try #require(flows.filter { $0.value == addresses[1] }.keys.min())
        try await stage.pass(Self.hold)
        #expect(stage.broken(flows) == [])
        stage.end(flows.keys.filter { $0 != stayed })
        try await stage.pass(Self.pinning)
        #expect(stage.phases()[.pinned] == slots)
        try await stage.tick()
        #expect(stage.phases() == [.settled: 63, .pinned: 1])
        #expect(stage.broken([stayed: addresses[1]]) == [])
    }

    @Test func `an entry that could not be made holds up pinning, for as long as that takes`()
        async throws
    {
        let (stage, slots, flows) = try await moving()
        try await stage.pass(Self.hold)
        try await stage.pass(Self.pinning - .seconds(10))
        stage.plane.withFlows { $0.isFull = true }
        #expect(stage.broken(flows) == [])
        try await stage.tick()
        stage.plane.withFlows { $0.isFull = false }
        #expect(
            stage.log.take().filter { $0.contains("flow table") } == [
                "warning: the flow table has no room: new flows go where they need none"
            ])
        try await stage.pass(Self.pinning - .seconds(1))
        #expect(stage.phases()[.pinning] == slots, "who was refused may be silent until now")
        #expect(stage.broken(flows) == [])
        try await stage.tick()
        #expect(stage.phases()[.pinned] == slots)
        #expect(stage.broken(flows) == [])
    }

    @Test func `a drain does not wait for the hold`() async throws {
        let stage = try await Stage()
        try await stage.controller.drain(BackendReference("web", "server-b"))
        let slots = try #require(stage.phases()[.moving])
        try await stage.tick()
        #expect(stage.phases() == [.settled: 64 - slots, .pinning: slots])
        try await stage.pass(Self.pinning)
        #expect(stage.phases()[.pinned] == slots)
    }

    @Test func `a slot that changes again begins a new hold with its first former owner`()
        async throws
    {
        let (stage, _, flows) = try await moving()
        try await stage.pass(Self.hold)
        #expect(stage.broken(flows) == [])
        // Half of them is moved on to the only one that is left.
        await stage.tell(result(false), of: 2)
        #expect(stage.phases()[.pinning, default: 0] > 0, "those that server-a has by now")
        let again = try #require(stage.phases()[.moving])
        #expect(stage.broken(flows) == [])
        try await stage.pass(Self.hold - .seconds(1))
        #expect(stage.phases()[.moving] == again)
        #expect(stage.broken(flows) == [])
        try await stage.pass(Self.pinning)
        #expect(stage.broken(flows) == [])
    }

    @Test func `a restart begins holds anew, and cuts nothing`() async throws {
        let (stage, slots, flows) = try await moving()
        try await stage.pass(Self.hold - .seconds(1))
        try await stage.restart()
        #expect(stage.phases()[.moving] == slots)
        #expect(stage.broken(flows) == [])
        try await stage.pass(Self.hold - .seconds(1))
        #expect(stage.phases()[.moving] == slots)
        try await stage.tick()
        #expect(stage.phases()[.pinning] == slots)
        try await stage.pass(Self.pinning - .seconds(1))
        try await stage.restart()
        #expect(stage.broken(flows) == [])
        try await stage.pass(Self.pinning - .seconds(1))
        #expect(stage.phases()[.pinning] == slots)
        try await stage.tick()
        #expect(stage.phases()[.pinned] == slots)
        #expect(stage.broken(flows) == [])
    }

    @Test func `who sets the clock of the machine ends no hold`() async throws {
        let (stage, slots, _) = try await moving()
        stage.setDate(by: Self.hold * 3)
        try await stage.tick()
        #expect(stage.phases()[.moving] == slots)
    }

    @Test func `what the plane refuses to move on is tried again`() async throws {
        let (stage, slots, _) = try await moving()
        stage.plane.refuse(after: 0)
        try await stage.pass(Self.hold)
        #expect(stage.phases()[.moving] == slots)
        #expect(
            stage.log.take().last
                == "error: slots do not move on, and are tried again: web: the plane is full")
        stage.plane.refuse(after: .max)
        try await stage.tick()
        #expect(stage.phases()[.pinning] == slots)
    }

    @Test func `slots of full-nat and of untracked datagrams settle at once`() async throws {
        var desired = web()
        desired.services[0].transport = .udp
        desired.services[0].tracking = false
        let stage = try await Stage(desired)
        await stage.tell(result(false), of: 1)
        #expect(stage.phases()[.moving, default: 0] > 0)
        try await stage.tick()
        #expect(stage.phases() == [.settled: 64])
    }

    @Test(arguments: [0, 1])
    func `slots of a service that never had a packet settle at once`(packets: UInt64) async throws {
        let stage = try await Stage(web())
        let id = try #require(stage.plane.contents().services.keys.first)
        await stage.tell(result(false), of: 1)
        stage.plane.count(
            PlaneCounters(
                verdicts: [], services: [id: Count(packets: packets, bytes: 60)], backends: [:]))
        try await stage.tick()
        #expect((stage.phases()[.moving] == nil) == (packets == 0))
    }

    @Test func `while nothing moves and nothing is recorded there is no sweep`() async throws {
        let stage = try await Stage(web())
        try await stage.tick()
        _ = stage.plane.takeOrders()
        try await stage.tick(10)
        #expect(stage.plane.takeOrders() == [])
        await stage.tell(result(false), of: 1)
        try await stage.tick()
        #expect(stage.plane.takeOrders().count == 1)
    }

    @Test func `status tells how many slots are in which phase`() async throws {
        let (stage, slots, _) = try await moving()
        var service = try await stage.status()
        #expect([service.moving, service.pinning, service.pinned] == [slots, 0, 0])
        try await stage.pass(Self.hold)
        service = try await stage.status()
        #expect([service.moving, service.pinning, service.pinned] == [0, slots, 0])
        try await stage.pass(Self.pinning)
        service = try await stage.status()
        #expect([service.moving, service.pinning, service.pinned] == [0, 0, slots])
    }
}
