import Balancing
import FoundationEssentials
import Packets
import Testing

@testable import Control

/// What is done when the flow table fills.
struct PressureTests {
    private func fill(_ stage: Stage, _ entries: Int, of capacity: Int = 1600) {
        stage.plane.withFlows { flows in
            flows.edit = { report in
                report.entries = entries
                report.capacity = capacity
            }
        }
    }

    @Test func `a table is frozen from 15/16 on, and until 3/4`() async throws {
        let stage = try await Stage()
        let levels = [1499, 1500, 1600, 1201, 1200, 1499, 1500]
        var freezing: [[Bool]] = []
        for level in levels {
            fill(stage, level)
            // Something is recorded, so that there is a reason to look.
            stage.plane.withFlows { $0.events.made += 1 }
            try await stage.tick()
            freezing.append(stage.plane.takeFreezing())
        }
        #expect(freezing == [[], [true], [], [], [false], [], [true]])
        #expect(
            stage.log.take() == [
                "critical: the flow table is nearly full (1500 of 1600 entries): "
                    + "new flows go where they need none",
                "notice: the flow table has room again: new flows get entries",
                "critical: the flow table is nearly full (1500 of 1600 entries): "
                    + "new flows go where they need none",
            ])
    }

    @Test func `status tells of the table, and of what found no room in it`() async throws {
        let stage = try await Stage()
        fill(stage, 1500)
        let events = FlowEvents(made: 7, refused: 3, evicted: 2, frozen: 1)
        stage.plane.withFlows { $0.events = events }
        try await stage.tick()
        let table = try await stage.controller.status(on: []).flowTable
        #expect(
            table
                == Status.FlowTable(entries: 1500, capacity: 1600, events: events, isFrozen: true))
    }

    @Test func `a controller that takes over a frozen table thaws it, and looks for itself`()
        async throws
    {
        let stage = try await Stage()
        fill(stage, 1500)
        stage.plane.withFlows { $0.events.made += 1 }
        try await stage.tick()
        #expect(stage.plane.takeFreezing() == [true])
        try await stage.restart()
        #expect(stage.plane.takeFreezing() == [false])
        try await stage.tick()
        #expect(stage.plane.takeFreezing() == [true])
    }

    @Test func `a table without room is told once a minute at most, and not of a former life`()
        async throws
    {
        let stage = try await Stage()
        func warnings() -> Int { stage.log.take().count { $0.hasPrefix("warning") } }
        stage.plane.withFlows { $0.events.refused = 5 }
        try await stage.tick()
        #expect(warnings() == 1)
        for _ in 0..<10 {
            stage.plane.withFlows { $0.events.refused += 1 }
            try await stage.tick()
        }
        #expect(warnings() == 0)
        try await stage.pass(.seconds(61))
        stage.plane.withFlows { $0.events.refused += 1 }
        try await stage.tick()
        #expect(warnings() == 1)
        try await stage.restart()
        try await stage.tick()
        #expect(warnings() == 0)
    }

    @Test func `a plane that counts no flows is not taken for full`() async throws {
        let stage = try await Stage()
        fill(stage, 0, of: 0)
        stage.plane.withFlows { $0.events.made += 1 }
        try await stage.tick()
        #expect(stage.plane.takeFreezing() == [])
    }
}
