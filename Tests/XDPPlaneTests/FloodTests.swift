import Balancing
import CDatapath
import Glibc
import Packets
import Testing

@testable import XDPPlane

/// What established flows have to fear of those that nobody ever confirms: nothing.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct FloodTests {
    private static let stages = [
        ("192.0.2.100", ["192.168.1.101", "192.168.1.102"]),
        ("2001:db8::100", ["2001:db8::101", "2001:db8::102"]),
    ]
    // Where the slots come from, and where they go.
    private static let (old, new) = (0, 1)
    /// Clients that no flood is of.
    private static let first: UInt32 = 1 << 24
    private static let opened = first..<first + 20_000
    private static let pinned = first + 20_000..<first + 30_000
    private static let late = first + 30_000..<first + 40_000

    @Test(arguments: stages)
    func `a flood of two million SYNs during a change takes the entry of no established flow`(
        vip: String, addresses: [String]
    ) throws {
        let places: UInt32 = 1 << 16
        let stage = try FlowStage(
            vip: vip, forwarding: .ipip, backends: addresses,
            buckets: places / MARTLET_FLOW_LANES.rawValue)
        let (old, new) = (stage.backends[Self.old], stage.backends[Self.new])
        let flood = try Flood()

        // All slots move. What opens then has an entry, and so has what speaks in the next phase.
        try stage.setSlots(Slot(owner: new, former: old, looks: true))
        for client in Self.opened {
            #expect(try stage.send(client, .syn) == Self.new)
            #expect(try stage.send(client, .ack) == Self.new)
        }
        try stage.setSlots(Slot(owner: new, former: old, looks: true, pins: true))
        try expect(Self.pinned, at: Self.old, stage)
        #expect(try stage.plane.plane.flowEvents() == FlowEvents(made: 30_000))

        let count: Int32 = 2_200_000
        let before = try stage.verdicts()
        try flood.send(count, .syn, to: stage)
        #expect(
            try stage.verdicts()
                == before.merging(["FORWARD_IPIP": UInt64(count)], uniquingKeysWith: +))
        let flooded = try stage.plane.plane.flowEvents()
        #expect(flooded.refused > 1_000_000)
        #expect(flooded.evicted == 0)
        #expect(flooded.made == UInt64(places), "every place is taken, and none twice")
        try expectEntries(established: 30_000, of: Int(places), stage)

        // Who speaks only now gets an entry all the same, at the cost of the flood.
        try expect(Self.late, at: Self.old, stage)
        let after = try stage.plane.plane.flowEvents()
        #expect(after.evicted == 10_000)
        #expect(after.made == flooded.made)
        #expect(after.refused == flooded.refused)
        try expectEntries(established: 40_000, of: Int(places), stage)

        // More of it, and by now only the entries know whose flows are the old backend's.
        try stage.setSlots(Slot(owner: new, former: new, looks: true))
        try flood.send(count / 8, .syn, to: stage)
        #expect(try stage.plane.plane.flowEvents().evicted == 10_000)
        try expect(Self.opened, at: Self.new, stage)
        try expect(Self.pinned, at: Self.old, stage)
        try expect(Self.late, at: Self.old, stage)
        #expect(try Set(stage.verdicts().keys) == ["FORWARD_IPIP"])
    }

    private func expect(_ clients: Range<UInt32>, at backend: Int, _ stage: FlowStage) throws {
        let others = try clients.filter { try stage.send($0, .ack) != backend }
        #expect(others == [])
    }

    /// The rest is half-open, and the backends' numbers are those of their entries.
    private func expectEntries(established: Int, of count: Int, _ stage: FlowStage) throws {
        let entries = try stage.entries()
        #expect(entries.count == count)
        #expect(entries.count { $0.state == MARTLET_FLOW_ESTABLISHED } == established)
        #expect(entries.count { $0.state == MARTLET_FLOW_HALF_OPEN } == count - established)
        let numbers = stage.backends.map { id in
            UInt32(entries.count { $0.backend == Int(id.number) })
        }
        #expect(try stage.openFlows() == numbers)
    }
}
