import BPF
import Balancing
import CDatapath
import Glibc
import OtherBuild
import Packets
import Testing

@testable import XDPPlane

/// The pins of tables inside tables, by which they are opened without CAP_SYS_ADMIN.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct InnerPinsTests {
    @Test func `a table inside another has a pin for as long as it is there`() async {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.fullNAT) { stage in
                let inner = InnerPins(of: stage.pins)
                let slots = InnerPins.Name(.slots, stage.flows.service.number)
                #expect(try inner.directory.entries() == ["nat-1", "\(slots)"])
                for name in try inner.names() {
                    let path = inner.directory.path(of: "\(name)")
                    #expect(try RawMap(pinnedAt: path, name: "").id == stage.id(of: name))
                    var status = stat()
                    #expect(stat(path, &status) == 0)
                    #expect(status.st_mode & 0o777 == 0o600)
                }
                let second = ServiceID(17)
                try stage.plane.apply(.addSlots(second, count: 1024))
                #expect(try inner.names().contains(InnerPins.Name(.slots, 17)))
                try stage.plane.apply(.removeSlots(second))
                try stage.plane.apply(.removeNATAddress(NATAddressID(1)))
                #expect(try inner.directory.entries() == ["\(slots)"])
            }
        }
    }

    @Test func `what was pinned and never given a place goes with the next start`() async {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.fullNAT) { stage in
                let inner = InnerPins(of: stage.pins)
                let (before, contents) = (try inner.directory.entries(), try stage.contents())
                let map = try RawMap(
                    duplicating: try Map<UInt32, martlet_slot_pair>(
                        creating: .array, named: "slots", capacity: 512,
                        flags: [.mappable, .innerOfAnySize]), name: "slots")
                try inner.pin(map, as: InnerPins.Name(.slots, 400))
                try inner.pin(map, as: InnerPins.Name(.nat, 9))
                // What is not called like ours is not ours.
                let foreign = ["slots", "slots-", "slots-07", "slots-1-2", "flows-1"]
                for name in foreign { try map.pin(at: inner.directory.path(of: name)) }
                try stage.takeOver()
                #expect(try inner.directory.entries() == (before + foreign).sorted())
                #expect(try stage.contents() == contents)
                #expect(try Attachments(pins: stage.pins).foreign() == ["inner"])
                #expect(try Attachments(pins: stage.pins).removeAll())
                #expect(try stage.pins.entries() == ["inner"])
                #expect(try inner.directory.entries() == foreign.sorted())
                for name in foreign { try inner.directory.remove(name) }
                try inner.directory.removeDirectory()
            }
        }
    }

    @Test func `a table without a pin, or with that of another, gets one`() async {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.fullNAT) { stage in
                let inner = InnerPins(of: stage.pins)
                let (names, contents) = (try inner.names(), try stage.contents())
                let backends = try stage.send(LifeStage.clients, .syn)
                let ids = try names.map { try stage.id(of: $0) }
                let stranger = try stage.map("turns")
                for isTaken in [false, true] {
                    for name in names {
                        try inner.remove(name)
                        if isTaken { try inner.pin(stranger, as: name) }
                    }
                    // As a build that knew nothing of them left it.
                    if !isTaken { try inner.directory.removeDirectory() }
                    try stage.takeOver()
                    #expect(try inner.names() == names)
                    #expect(try names.map { try stage.id(of: $0) } == ids)
                    for (name, id) in zip(names, ids) {
                        let path = inner.directory.path(of: "\(name)")
                        #expect(try RawMap(pinnedAt: path, name: "").id == id)
                    }
                    #expect(try stage.contents() == contents)
                    #expect(try stage.send(LifeStage.clients, .ack) == backends)
                }
            }
        }
    }

    @Test func `detaching after a migration that was cut short leaves none of them`() async {
        await #expect(processExitsWith: .success) {
            let other = try OtherBuild.compile()
            for stop in [Migration.Step.copy("nat_tables"), .take("nat_tables"), .takeInner] {
                try LifeStage.with(.fullNAT) { stage in
                    try stage.takeOver(other) { migration in
                        let index = migration.steps.lastIndex(of: stop)
                        return Array(migration.steps.prefix((index ?? 0) + 1))
                    }
                    let staged = InnerPins(of: stage.pins.directory("next"))
                    #expect(try staged.directory.entries() == (stop == .takeInner ? [] : ["nat-1"]))
                    #expect(try Attachments(pins: stage.pins).foreign() == [])
                    #expect(try Attachments(pins: stage.pins).removeAll())
                    #expect(try stage.pins.entries() == [])
                }
            }
        }
    }

    @Test func `exactly the maps that are never pinned have no pin`() async {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.ipip) { stage in
                let image = decodeBase64(Images.martlet)
                let file = try ObjectFile(named: "martlet", image: image.span)
                let names = TakeoverPlan.names(in: file)
                let pinned = try Set(names.map { try stage.map($0).id })
                let others = try #require(try mapsInUse(in: stage.pins)).filter {
                    !pinned.contains($0)
                }
                // By their number one knows, without CAP_SYS_ADMIN, that no pin is gone.
                #expect(others.count == file.mapNames.count - names.count)
            }
        }
    }
}

extension LifeStage {
    /// The kernel's number of a table inside another.
    fileprivate func id(of name: InnerPins.Name) throws -> UInt32? {
        switch name.kind {
        case .slots:
            try plane.tables.slotTables.value(for: name.number)
                ?? plane.tables.smallSlotTables.value(for: name.number)
        case .nat: try plane.tables.natTables.value(for: name.number)
        }
    }
}
