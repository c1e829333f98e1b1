import BPF
import Balancing
import CDatapath
import Glibc
import OtherBuild
import Packets
import Testing

@testable import XDPPlane

/// Tables of one build that another one takes over.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct MigrationTests {
    @Test func `a grown build takes over, and ours again, and no flow changes its backend`() async {
        await #expect(processExitsWith: .success) {
            for forwarding in [Forwarding.ipip, .fullNAT] {
                try LifeStage.with(forwarding) { stage in
                    let (old, new) = (UInt32(1)...150, UInt32(151)...300)
                    let other = try OtherBuild.compile()
                    let first = try stage.send(old, .syn)
                    #expect(Set(first).isDisjoint(with: ["none"]))
                    let (contents, loads) = (try stage.contents(), try stage.flows.openFlows())
                    let shapes = try stage.shapes

                    try stage.takeOver(other)
                    let changed = try stage.pins.entries().filter {
                        Tables.names.contains($0) && (try? stage.map($0).shape) != shapes[$0]
                    }
                    // What holds maps looks the same from outside.
                    #expect(Set(changed) == OtherBuild.grownTables.subtracting(["nat_tables"]))
                    #expect(try stage.send(old, .ack) == first)
                    let second = try stage.send(new, .syn)
                    let visits = try stage.map("visits").value(for: RawMap.key(0))
                    #expect(visits.map { RawMap.word($0) } == UInt32(LifeStage.clients.count))

                    try stage.takeOver()
                    let flags = try stage.map("settings").value(for: RawMap.key(0))?[4]
                    #expect(flags.map { UInt32($0) & MARTLET_SETTING_FROZEN.rawValue } == 0)
                    #expect(try Set(stage.pins.entries()) == stage.usualPins)
                    #expect(try stage.shapes == shapes)
                    #expect(try stage.contents() == contents)
                    #expect(try stage.send(old, .ack) == first)
                    #expect(try stage.send(new, .ack) == second)
                    // Every packet was counted by one build or the other, and no flow twice.
                    #expect(try stage.flows.verdicts().values.reduce(0, +) == 150 * 2 + 150 + 300)
                    if forwarding == .ipip {
                        #expect(try stage.flows.openFlows() == loads.map { $0 * 2 })
                        #expect(first + second == first.prefix(3) * 100)
                    }
                }
            }
        }
    }

    @Test func `wherever a migration is cut short, the next start makes of it what was before`()
        async
    {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.ipip) { stage in
                let other = try OtherBuild.compile()
                let backends = try stage.send(LifeStage.clients, .syn)
                let contents = try stage.contents()
                var sent = UInt64(LifeStage.clients.count)
                var count = 1
                var stops = 0
                while count > 0 {
                    let moment = Comment(rawValue: "after \(count) steps")
                    var next = 0
                    try stage.takeOver(other) { migration in
                        next = stop(after: count, in: migration.steps)
                        return Array(migration.steps.prefix(count))
                    }
                    #expect(try stage.send(LifeStage.clients, .ack) == backends, moment)
                    try stage.takeOver()
                    #expect(try Set(stage.pins.entries()) == stage.usualPins, moment)
                    #expect(try stage.contents() == contents, moment)
                    #expect(try stage.send(LifeStage.clients, .ack) == backends, moment)
                    sent += 2 * UInt64(LifeStage.clients.count)
                    let verdicts = try stage.flows.verdicts()
                    #expect(verdicts == ["FORWARD_IPIP": sent], "\(verdicts) \(moment)")
                    let open = try stage.flows.openFlows()
                    #expect(open == [100, 100, 100], "\(open) \(moment)")
                    count = next
                    stops += 1
                }
                #expect(stops > 15, "each kind of step, the first and the last of many")
            }
        }
    }

    @Test func `the downgrade of a migration that was cut short ends as well with the other build`()
        async
    {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.fullNAT) { stage in
                let other = try OtherBuild.compile()
                let backends = try stage.send(LifeStage.clients, .syn)
                let contents = try stage.contents()
                let stops: [Migration.Step] = [
                    .copy("nat_tables"), .replace(link: try stage.linkName), .wait,
                    .carry("nat_tables"), .take("nat_tables"), .takeProgram,
                ]
                for stop in stops {
                    try stage.takeOver(other) { migration in
                        let index = migration.steps.firstIndex(of: stop)
                        return Array(migration.steps.prefix((index ?? 0) + 1))
                    }
                    #expect(try stage.send(LifeStage.clients, .ack) == backends, "after \(stop)")
                    // The same build comes again, whether there is anything left to do or not.
                    let takeover = try Takeover(image: other.span, in: stage.pins)
                    try takeover.migration.map { migration in
                        _ = try migration.run(migration.steps)
                    }
                    #expect(try stage.send(LifeStage.clients, .ack) == backends, "after \(stop)")
                    #expect(try !stage.pins.contains("next"))
                    try stage.takeOver()
                    #expect(try stage.contents() == contents)
                }
            }
        }
    }

    @Test func `a downgrade that would cut off what is used is refused, and changes nothing`()
        async
    {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.ipip) { stage in
                let backends = try stage.send(LifeStage.clients, .syn)
                try stage.takeOver(OtherBuild.compile())
                let pins = try stage.pins.entries()
                let records = try stage.map("backends")
                var record = try #require(try records.value(for: RawMap.key(7)))
                record[64] = 1
                try records.set(record, for: RawMap.key(7))
                let refusal = #expect(throws: Failure.self) { try stage.takeOver() }
                #expect(
                    refusal?.description.hasPrefix(
                        "cannot take over the table backends: it has 32768 entries of 72 bytes, "
                            + "this version 32768 of 64, and entry 7 needs what would be cut off\n")
                        == true)
                #expect(try stage.pins.entries() == pins)
                #expect(try stage.send(LifeStage.clients, .ack) == backends)
                record[64] = 0
                try records.set(record, for: RawMap.key(7))
                try stage.takeOver()
                #expect(try stage.send(LifeStage.clients, .ack) == backends)
            }
        }
    }

    @Test func `the same build takes over without touching a table`() async {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.fullNAT) { stage in
                let backends = try stage.send(LifeStage.clients, .syn)
                let before = try Tables.names.map { try stage.map($0).id }
                try stage.takeOver()
                #expect(stage.plane.takeoverNotes == [])
                #expect(try Tables.names.map { try stage.map($0).id } == before)
                #expect(try Set(stage.pins.entries()) == stage.usualPins)
                #expect(try stage.send(LifeStage.clients, .ack) == backends)
            }
        }
    }

    @Test func `tables that mean something else are refused by the number of the ABI`() async {
        await #expect(processExitsWith: .success) {
            try LifeStage.with(.ipip) { stage in
                let settings = try stage.map("settings")
                var value = try #require(try settings.value(for: RawMap.key(0)))
                value[0] += 1
                try settings.set(value, for: RawMap.key(0))
                let refusal = #expect(throws: Failure.self) { try stage.takeOver() }
                #expect(
                    refusal?.reason == "they were made by another version (ABI \(value[0]), this "
                        + "one has \(MARTLET_ABI))")
            }
        }
    }
}

/// How many steps it takes from there to the first or the last one of the same kind; 0: none is
/// left.
private func stop(after count: Int, in steps: [Migration.Step]) -> Int {
    let kinds = steps.map { "\($0)".prefix { $0 != "(" } }
    return (count..<steps.count).first { index in
        kinds[index] != kinds[index - 1] || index + 1 == kinds.count
            || kinds[index] != kinds[index + 1]
    }.map { $0 + 1 } ?? 0
}

/// The same again and again.
private func * (elements: ArraySlice<String>, count: Int) -> [String] {
    Array(repeatElement(elements, count: count).joined())
}
