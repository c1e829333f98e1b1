import BPF
import Balancing
import Glibc
import Packets
import Testing

@testable import XDPPlane

/// What somebody has done to pins and tables, and what the next controller makes of it.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct RepairTests {
    @Test func `a pin that was removed comes back with the map that the program uses`() async {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.ipip) { stage in
                let backends = try stage.send(LifeStage.clients, .syn)
                let contents = try stage.contents()
                // Of every name that the kernel cuts short, and of the one that stands for all.
                for lost in [["flows"], ["settings"], ["service_index_v4", "service_index_v6"]] {
                    for name in lost { try stage.pins.remove(name) }
                    let plane = try XDPPlane(takingOver: stage.pins)
                    #expect(plane.takeoverNotes == lost.map { "table \($0) had lost its pin" })
                    try stage.takeOver()
                    #expect(try Set(stage.pins.entries()) == stage.usualPins)
                    #expect(try stage.contents() == contents)
                    #expect(try stage.send(LifeStage.clients, .ack) == backends)
                }
            }
        }
    }

    @Test func `when all pins but the link are removed, it still leads to the tables`() async {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.fullNAT) { stage in
                let backends = try stage.send(LifeStage.clients, .syn)
                let inner = InnerPins(of: stage.pins)
                try inner.remove(all: inner.names())
                for name in try stage.pins.entries() where name != (try stage.linkName) {
                    try stage.pins.remove(name)
                }
                try stage.takeOver()
                #expect(try Set(stage.pins.entries()) == stage.usualPins)
                #expect(try stage.send(LifeStage.clients, .ack) == backends)
            }
        }
    }

    @Test func `a filter and an index that were emptied are filled again`() async {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.ipip) { stage in
                let filter = try MappedArray<UInt64>(stage.map("vip_filter"))
                let index = try MappedArray<UInt64>(stage.map("service_index_v4"))
                let before = (0..<filter.count).map { filter[$0] }
                let indexBefore = (0..<index.count).map { index[$0] }
                for word in 0..<filter.count { filter[word] = 0 }
                for word in 0..<index.count { index[word] = 0 }
                try stage.takeOver()
                #expect((0..<filter.count).map { filter[$0] } == before)
                #expect((0..<index.count).map { index[$0] } == indexBefore)
            }
        }
    }

    @Test func `an attachment that was cut off is made anew`() async {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.ipip) { stage in
                let backends = try stage.send(LifeStage.clients, .syn)
                try stage.pins.remove(try stage.linkName)
                #expect(try XDPHook(on: "near").occupant() == nil)
                try stage.takeOver()
                #expect(try stage.send(LifeStage.clients, .ack) == backends)
            }
        }
    }

    @Test func `detaching leaves what others have pinned, and names it`() async {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.ipip) { stage in
                let foreign = try Map<UInt32, UInt32>(creating: .array, named: "f", capacity: 1)
                let attachments = Attachments(pins: stage.pins)
                try foreign.pin(at: stage.pins.path(of: "visitors"))
                try stage.pins.directory("folder").create()
                #expect(try attachments.foreign() == ["folder", "visitors"])
                #expect(try attachments.removeAll())
                #expect(try stage.pins.entries() == ["folder", "visitors"])
                try stage.pins.remove("visitors")
                try stage.pins.directory("folder").removeDirectory()
                #expect(try !attachments.removeAll())
            }
        }
    }
}
