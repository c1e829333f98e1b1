import BPF
import Balancing
import CDatapath
import Glibc
import Packets
import Testing

@testable import XDPPlane

/// Slots with phases, turns and loads in the kernel's tables.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct SchedulingTablesTests {
    private let backends = (101...104).map { Backend(name: "\($0)", address: ip("192.0.2.\($0)")) }

    private func service(_ backends: [Backend]) -> Service {
        Service(
            name: "web", vip: VIP(ip("192.0.2.100")), ports: Ports(80), forwarding: .ipip,
            healthCheck: nil, backends: backends)
    }

    private func targets(
        _ backends: [Backend], _ selection: Selection = Selection(),
        load: PlaneContents.Load = PlaneContents.Load()
    ) -> [Target] {
        let members = backends.map {
            SlotTable.Member(address: $0.address, weight: $0.weight)
        }
        let (table, length) = SlotTable(members: members, count: 1 << 10).arranged(
            for: selection.scheduler, members, members.map { _ in SlotTable.ready })
        let service = service(backends)
        return [
            Target(
                for: service, keys: service.frontend.keys, selection: selection,
                backends: backends.map { Target.Backend($0, nextHop: nil, load: load) },
                slots: table, turnLength: length)
        ]
    }

    private func plane(_ targets: [Target]) throws -> TestPlane {
        var plane = try TestPlane()
        try plane.apply(targets, others: .removed)
        return plane
    }

    @Test(arguments: Scheduler.allCases, [false, true])
    func `what was written of slots, loads, turns and flags is read back`(
        scheduler: Scheduler, isSet: Bool
    ) throws {
        let selection = Selection(
            scheduler: scheduler, tracks: isSet, hasClientAffinity: !isSet, timesAnswers: isSet)
        let load = PlaneContents.Load(limit: 70_000, weight: 65_535, isClosed: isSet)
        var plane = try plane(targets(Array(backends.prefix(3))))
        try plane.apply(targets(backends, selection, load: load), others: .removed)
        #expect(try plane.plane.contents() == plane.applied)
        #expect(plane.applied.backends.values.allSatisfy { $0.load == load })
        let id = try #require(plane.applied.services.keys.first)
        for move in [{ $0.pinning() }, { $0.pinned() }] as [(Slot) -> Slot] {
            for step in plane.applied.advance(id, by: move) { try plane.apply(step) }
            #expect(try plane.plane.contents() == plane.applied)
        }
        #expect(plane.applied.services[id]?.slots.contains { $0.phase == .pinned } == true)
    }

    @Test func `what a backend bears stays when it is said what it can bear`() throws {
        let plane = try plane(targets(backends))
        let id = try #require(plane.applied.backends.keys.min())
        #expect(try plane.plane.loads().count == 4)
        #expect(try plane.plane.loads()[id] == MeasuredLoad(flows: 0, latency: 1))
        let index = UInt32(id.number)
        try plane.plane.tables.backendLoads.set(
            martlet_load(flows: 5, limit: 0, latency: 900, weight: 1, flags: 0), for: index)
        let load = PlaneContents.Load(limit: 10, weight: 3, isClosed: true)
        try plane.plane.apply(.setLoad(id, load))
        #expect(try plane.plane.contents().backends[id]?.load == load)
        #expect(try plane.plane.loads()[id] == MeasuredLoad(flows: 5, latency: 900))
        try plane.plane.setLatency([id: 1200])
        #expect(try plane.plane.loads()[id] == MeasuredLoad(flows: 5, latency: 1200))
        #expect(try plane.plane.contents().backends[id]?.load == load)
        try plane.plane.setLatency([id: 0])
        #expect(try plane.plane.loads()[id]?.latency == 1)
        // The next one with this number begins anew.
        let record = try #require(plane.applied.backends[id])
        try plane.plane.apply(.addBackend(id, record))
        #expect(try plane.plane.loads()[id] == MeasuredLoad(flows: 0, latency: 1))
    }

    @Test func `turns go on where they were when their order gets another length`() throws {
        let plane = try plane(targets(backends, Selection(scheduler: .roundRobin)))
        let id = try #require(plane.applied.services.keys.first)
        let turns = { try #require(try plane.plane.tables.turns.value(for: id.number)) }
        #expect(try turns().length == 1024)
        try plane.plane.tables.turns.set(
            martlet_turns(taken: 77, length: 1024, unused: 0), for: id.number)
        try plane.plane.apply(.setTurns(id, length: 6))
        #expect(try turns().length == 6)
        #expect(try turns().taken == 77)
        // A service that gets this number later has a table, and turns, of its own.
        let before = plane.applied
        for step in try Plan(from: before, to: [], others: .removed).steps {
            try plane.plane.apply(step)
        }
        #expect(try plane.plane.contents() == PlaneContents())
        try plane.plane.apply(.addSlots(id, count: 1024))
        #expect(try turns().taken == 0)
        #expect(try turns().length == 0)
    }

    @Test func `a backend takes its entries with it, also when a controller was killed`() throws {
        for isKilled in [false, true] {
            let plane = try plane(targets(backends))
            let numbers = plane.applied.backends.keys.sorted()
            func entry(of backend: BackendID) -> UInt64 {
                let state = UInt64(MARTLET_FLOW_ESTABLISHED.rawValue)
                return UInt64(backend.number) | state << UInt64(MARTLET_FLOW_STATE_SHIFT.rawValue)
            }
            let last = Int(MARTLET_FLOW_BUCKETS.rawValue * MARTLET_FLOW_LANES.rawValue) - 1
            let words = try MappedArray<UInt64>(plane.plane.tables.flows)
            words[0] = entry(of: numbers[0])
            words[last] = entry(of: numbers[3])
            if isKilled {
                try plane.plane.removeLeftovers()
                #expect(words[0] != 0)
                try plane.plane.apply(.removeKeys(plane.applied.keys.keys.sorted()))
                try plane.plane.removeLeftovers()
                #expect(try plane.plane.contents().backends == [:])
            } else {
                let rest = targets(Array(backends.prefix(3)))
                for step in try Plan(from: plane.applied, to: rest, others: .removed).steps {
                    try plane.plane.apply(step)
                }
                #expect(words[0] != 0)
                #expect(try plane.plane.contents().backends.count == 3)
            }
            #expect((words[0] == 0) == isKilled)
            #expect(words[last] == 0)
        }
    }

    @Test func `freezing is said without forgetting anything, and what happened is counted`() throws
    {
        let plane = try plane(targets(backends))
        let settings = { try #require(try plane.plane.tables.settings.value(for: 0)) }
        let before = try settings()
        #expect(before.flow_mask == MARTLET_FLOW_BUCKETS.rawValue - 1)
        #expect(before.abi == UInt32(MARTLET_ABI))
        for isFrozen in [true, true, false] {
            try plane.plane.freeze(isFrozen)
            let after = try settings()
            #expect((after.flags & MARTLET_SETTING_FROZEN.rawValue != 0) == isFrozen)
            #expect(after.flow_mask == before.flow_mask)
            #expect(after.hash_key == before.hash_key)
        }
        #expect(try plane.plane.flowEvents() == FlowEvents())
        let CPUs = try plane.plane.tables.flowCounters.perCPU(0).count
        for event in 0..<UInt32(4) {
            try plane.plane.tables.flowCounters.setPerCPU(UInt64(event) + 1, for: event)
        }
        let count = { UInt64($0 * CPUs) }
        let events = try plane.plane.flowEvents()
        #expect(
            events
                == FlowEvents(
                    made: count(1), refused: count(2), evicted: count(3), frozen: count(4)))
    }
}

private func ip(_ text: String) -> IPAddress {
    guard let address = IPAddress(text) else { preconditionFailure(text) }
    return address
}
