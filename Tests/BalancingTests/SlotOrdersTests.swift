import Balancing
import Packets
import Testing

struct SlotOrdersTests {
    static let slots = 1 << 12

    private func order(_ weights: [UInt16], _ readiness: [UInt16]? = nil) -> [Int?] {
        let members = members(weights)
        let (table, length) = SlotTable.roundRobin(
            members, readiness ?? weights.map { _ in 256 }, count: Self.slots)
        return (0..<length).map { table[$0] }
    }

    @Test func `heavy backends take their turns between the others', not in a row`() {
        #expect(order([5, 1, 1]).prefix(7) == [0, 0, 1, 0, 2, 0, 0])
        #expect(order([1, 1, 1]).prefix(6) == [0, 1, 2, 0, 1, 2])
        #expect(order([4, 2, 2]).prefix(4) == [0, 1, 2, 0])
    }

    @Test(arguments: 0..<40)
    func `of every period each backend has exactly what its weight says`(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        let count = Int.random(in: 1...20, using: &random)
        let weights = (0..<count).map { _ in UInt16.random(in: 0...9, using: &random) }
        let readiness = weights.map { _ in UInt16([0, 128, 256].randomElement(using: &random) ?? 0)
        }
        let products = zip(weights, readiness).map { Int($0) * Int($1) / 128 }
        let period = products.reduce(0, +)
        let (table, length) = SlotTable.roundRobin(
            members(weights), readiness, count: Self.slots)
        guard period > 0 else {
            #expect((0..<Self.slots).allSatisfy { table[$0] == nil })
            return
        }
        #expect(length > Self.slots - period && length <= Self.slots)
        for start in stride(from: 0, through: Self.slots - period, by: period) {
            var shares = [Int](repeating: 0, count: count)
            for slot in start..<start + period { shares[table[slot] ?? 0] += 1 }
            #expect(shares == products)
        }
        // A default can be any slot: nobody's none.
        #expect((0..<Self.slots).allSatisfy { table[$0] != nil })
    }

    @Test func `a period that is longer than the table is rounded, and nobody left out`() {
        let weights: [UInt16] = [60000, 30001, 10007, 1]
        let (table, length) = SlotTable.roundRobin(
            members(weights), [256, 256, 16, 256], count: Self.slots)
        #expect(length == Self.slots)
        let total = 60000.0 + 30001 + 10007 / 16 + 1
        let due = [60000.0, 30001, 10007 / 16, 1].map { $0 / total * Double(Self.slots) }
        for (share, due) in zip(table.shares(of: 4), due) {
            #expect(abs(Double(share) - due) <= 1.01, "\(share) for \(due)")
            #expect(share > 0)
        }
    }

    @Test(arguments: 1...16)
    func `every group of slots has all backends of a small pool, and begins with another one`(
        serving: Int
    ) {
        let members = members(Array(repeating: 3, count: 20) + [0])
        var readiness = [UInt16](repeating: 0, count: 21)
        var random = SeededGenerator(seed: UInt64(serving))
        let chosen = Set((0..<20).shuffled(using: &random).prefix(serving))
        for index in chosen { readiness[index] = index % 2 == 0 ? 256 : 16 }
        readiness[20] = 256
        let table = SlotTable(members: members, count: Self.slots).pool(members, readiness)
        for group in 0..<Self.slots / 16 {
            let owners = (0..<16).map { table[group * 16 + $0] }
            #expect(Set(owners) == Set(chosen.map { $0 }), "group \(group)")
        }
        let first = Set((0..<serving).map { table[$0 * 16] })
        #expect(first == Set(chosen.map { $0 }))
    }

    @Test func `a large pool has slots by weight`() {
        let members = members((0..<40).map { $0 % 4 })
        let base = SlotTable(members: members, count: Self.slots)
        let readiness = [UInt16](repeating: 256, count: 40)
        #expect(base.pool(members, readiness) == base)
    }

    @Test(arguments: 0..<10)
    func `the order in which backends are named does not matter`(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        let weights = (0..<8).map { _ in UInt16.random(in: 0...5, using: &random) }
        let readiness = weights.map { _ in UInt16.random(in: 0...2, using: &random) * 128 }
        let members = members(weights)
        let order = members.indices.shuffled(using: &random)
        let shuffled = order.map { members[$0] }
        for scheduler in Scheduler.allCases {
            let one = SlotTable(members: members, count: Self.slots)
                .arranged(for: scheduler, members, readiness)
            let other = SlotTable(members: shuffled, count: Self.slots)
                .arranged(for: scheduler, shuffled, order.map { readiness[$0] })
            #expect(one.turnLength == other.turnLength)
            for slot in 0..<Self.slots {
                #expect(one.table[slot] == other.table[slot].map { order[$0] })
            }
        }
    }

    @Test func `what costs are divided by is the weight, scaled by readiness`() {
        let weights = { SlotTable.costWeights(members($0), $1) }
        #expect(weights([2, 4, 6], [256, 256, 256]) == [1, 2, 3])
        #expect(weights([1, 1, 1], [256, 16, 0]) == [16, 1, 1])
        #expect(weights([65535, 1, 0], [256, 16, 256]) == [65535, 1, 1])
        #expect(weights([0, 0], [256, 256]) == [1, 1])
    }
}
