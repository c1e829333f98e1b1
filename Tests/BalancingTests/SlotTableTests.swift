import Balancing
import Packets
import Testing

/// A generator whose numbers are the same in every run.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        var mixed = state
        mixed = (mixed ^ mixed >> 33) &* 0xFF51_AFD7_ED55_8CCD
        return mixed ^ mixed >> 33
    }
}

func members(_ weights: [UInt16]) -> [SlotTable.Member] {
    weights.enumerated().map {
        SlotTable.Member(
            address: .v4(IPv4Address(0xC0A8_0165 + UInt32($0.offset))), weight: $0.element)
    }
}

struct SlotTableTests {
    static let slots = 1 << 16

    /// As often nothing or all as anything in between.
    private func readiness(_ random: inout SeededGenerator) -> UInt16 {
        let some = UInt16.random(in: 1...255, using: &random)
        return [0, 256, some, some].randomElement(using: &random) ?? 0
    }

    private func randomMembers(_ random: inout SeededGenerator) -> [SlotTable.Member] {
        let count = Int.random(in: 1...40, using: &random)
        return members((0..<count).map { _ in UInt16.random(in: 0...9, using: &random) })
    }

    @Test(arguments: [1, 2, 3, 10, 100, 655])
    func `shares are within one per cent of the weights for a hundred slots a backend and more`(
        count: Int
    ) {
        var random = SeededGenerator(seed: UInt64(count))
        let weights = (0..<count).map { _ in UInt16.random(in: 1...8, using: &random) }
        let members = members(weights)
        let shares = SlotTable(members: members, count: Self.slots).shares(of: count)
        let total = weights.reduce(0) { $0 + Int($1) }
        for (share, weight) in zip(shares, weights) {
            let due = Double(Self.slots * Int(weight)) / Double(total)
            #expect(abs(Double(share) - due) <= max(1, due / 100), "\(share) for \(due)")
        }
        #expect(shares.reduce(0, +) == Self.slots)
    }

    @Test func `the lightest of many backends gets a slot, one without weight gets none`() {
        let members = members([0, 1] + Array(repeating: 65535, count: 998))
        let shares = SlotTable(members: members, count: Self.slots).shares(of: 1000)
        #expect(shares[0] == 0)
        #expect(shares[1] == 1)
    }

    @Test func `the order in which backends are named does not matter`() {
        var random = SeededGenerator(seed: 7)
        let members = members((0..<50).map { _ in UInt16.random(in: 0...5, using: &random) })
        let order = members.indices.shuffled(using: &random)
        let serves = members.map { _ in readiness(&random) }
        let table = SlotTable(members: members, count: Self.slots).falling(
            from: members, to: serves)
        let shuffled = order.map { members[$0] }
        let other = SlotTable(members: shuffled, count: Self.slots).falling(
            from: shuffled, to: order.map { serves[$0] })
        for slot in 0..<Self.slots { #expect(table[slot] == other[slot].map { order[$0] }) }
    }

    /// The promise of ``SlotTable/falling(from:to:)``, for those that serve fully or not at all.
    @Test(arguments: 0..<40)
    func `no slot moves between two backends that serve before and after`(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        let members = randomMembers(&random)
        let base = SlotTable(members: members, count: 1 << 12)
        let all: [UInt16] = [0, 256, 256, 256]
        let before = members.map { _ in all.randomElement(using: &random) ?? 0 }
        let after = members.map { _ in all.randomElement(using: &random) ?? 0 }
        let old = base.falling(from: members, to: before)
        let new = base.falling(from: members, to: after)
        for slot in 0..<base.count where old[slot] != new[slot] {
            let stayed = old[slot].map { after[$0] == 256 } ?? false
            let wasThere = new[slot].map { before[$0] == 256 } ?? false
            #expect(!(stayed && wasThere), "slot \(slot)")
        }
        for slot in 0..<base.count {
            if let owner = new[slot] { #expect(after[owner] > 0 && members[owner].weight > 0) }
        }
    }

    @Test(arguments: 0..<40)
    func `when readiness changes, no slot moves between two backends whose own does not`(
        seed: Int
    ) {
        var random = SeededGenerator(seed: UInt64(seed))
        var members = randomMembers(&random)
        // Somebody serves fully all the time.
        members[0] = SlotTable.Member(address: members[0].address, weight: 3)
        let base = SlotTable(members: members, count: 1 << 12)
        var readiness = members.map { _ in self.readiness(&random) }
        readiness[0] = 256
        var old = base.falling(from: members, to: readiness)
        for _ in 0..<5 {
            let before = readiness
            for index in members.indices.dropFirst() where Bool.random(using: &random) {
                readiness[index] = self.readiness(&random)
            }
            let new = base.falling(from: members, to: readiness)
            for slot in 0..<base.count {
                guard let left = old[slot], let joined = new[slot] else {
                    Issue.record("slot \(slot) is nobody's")
                    continue
                }
                #expect(readiness[joined] > 0)
                let hasReason =
                    before[left] != readiness[left] || before[joined] != readiness[joined]
                #expect(left == joined || hasReason, "slot \(slot)")
            }
            old = new
        }
    }

    @Test func `a backend has as much of its slots as it is ready, and ever more`() {
        let members = members([1, 1, 1, 1])
        let base = SlotTable(members: members, count: Self.slots)
        var before: Set<Int> = []
        for readiness in stride(from: 16, through: 256, by: 16) {
            let table = base.falling(from: members, to: [UInt16(readiness), 256, 256, 256])
            let own = Set((0..<Self.slots).filter { table[$0] == 0 })
            let keeps = own.isSuperset(of: before)
            #expect(keeps)
            let due = Double(Self.slots / 4 * readiness / 256)
            #expect(abs(Double(own.count) - due) < 0.05 * due + 64, "\(own.count) for \(due)")
            before = own
        }
        let isWhole = before == Set((0..<Self.slots).filter { base[$0] == 0 })
        #expect(isWhole)
    }

    @Test func `when nobody serves fully, those that serve at all do`() {
        let members = members([1, 2, 3])
        let base = SlotTable(members: members, count: 1 << 12)
        #expect(
            base.falling(from: members, to: [16, 0, 240])
                == base.falling(from: members, to: [256, 0, 256]))
        #expect(base.falling(from: members, to: [1, 1, 1]) == base)
    }

    @Test func `the slots of a dead backend go to the others in proportion to their weights`() {
        let members = members([4, 1, 2, 3])
        let base = SlotTable(members: members, count: Self.slots)
        let shares = base.falling(from: members, to: [0, 256, 256, 256]).shares(of: 4)
        #expect(shares[0] == 0)
        for (share, weight) in zip(shares.dropFirst(), [1.0, 2.0, 3.0]) {
            let due = Double(Self.slots) * weight / 6
            #expect(abs(Double(share) - due) < due * 0.05, "\(share) for \(due)")
        }
    }

    @Test func `when nobody serves, nobody owns a slot`() {
        let members = members([1, 1])
        let table = SlotTable(members: members, count: 64).falling(
            from: members, to: [0, 0])
        #expect((0..<64).allSatisfy { table[$0] == nil })
    }
}
