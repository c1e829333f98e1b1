public import Packets

/// Which backend owns each slot of a service; a flow's hash names its slot.
///
/// The table is a function of the configured backends, their weights and which of them serve:
/// never of history or order, so that two nodes with the same view have the same table. The owner
/// of a slot is decided in two steps:
///
/// 1. the *base* owner, by weighted Maglev over all backends with a weight, whatever their health
///    (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", §3.4);
/// 2. where that one does not serve, the best of those that do, by weighted rendezvous hashing.
///
/// So a backend that dies moves its own slots and no other, and its return moves exactly those
/// back.
public struct SlotTable: Hashable, Sendable {
    /// What the table knows of a backend.
    public struct Member: Hashable, Sendable {
        /// Its identity, the same on every node.
        public let address: IPAddress
        /// Its share relative to the others'; 0: it gets no slot.
        public let weight: UInt16

        public init(address: IPAddress, weight: UInt16) {
            self.address = address
            self.weight = weight
        }
    }

    /// For each slot the owner, as an index into the members given; nil: nobody can serve.
    ///
    /// Stored as `UInt16` with ``nobody``, for there are 65,536 of them.
    let owners: [UInt16]

    /// Marks a slot that has no owner.
    static let nobody = UInt16.max

    /// The most backends one service can have: 16 slots each at least, so that shares are fair.
    public static let memberLimit = 4096

    /// The base owners of `members` over `count` slots: who owns what when all serve.
    ///
    /// - Parameters:
    ///   - members: At most ``memberLimit``, with different addresses, in any order.
    ///   - count: A power of two, at least as large as the number of members.
    public init(members: [Member], count: Int) {
        precondition(members.count <= Self.memberLimit && members.count <= count)
        precondition(count > 0 && count & (count - 1) == 0, "the index is a mask of the hash")
        owners = maglev(members, count: count, nobody: Self.nobody)
    }

    init(owners: [UInt16]) { self.owners = owners }

    /// How many slots there are.
    public var count: Int { owners.count }

    /// The owner of `slot`, as an index into the members.
    public subscript(slot: Int) -> Int? {
        owners[slot] == Self.nobody ? nil : Int(owners[slot])
    }

    /// Those of `slots` that are not settled with the owner that the table gives them.
    ///
    /// Where plans spend their time: a thousand services have 65 million slots; few change.
    ///
    /// - Parameter numbers: Those of the members.
    func unsettled(in slots: [Slot], numbers: [BackendID]) -> [Int] {
        precondition(slots.count == owners.count)
        let words = numbers.map { Slot(owner: $0).word } + [Slot(owner: nil).word]
        let (slots, owners) = (slots.span, owners.span)
        var unsettled: [Int] = []
        func note(_ differences: UInt64, from start: Int) {
            var rest = differences
            while rest != 0 {
                unsettled.append(start + rest.trailingZeroBitCount)
                rest &= rest - 1
            }
        }
        let whole = slots.count / 64 * 64
        for start in stride(from: 0, to: whole, by: 64) {
            // By themselves and of a fixed size, so that nothing is checked 64 times.
            let (those, theirs) = (
                slots.extracting(start..<start + 64), owners.extracting(start..<start + 64)
            )
            note(differences(those, theirs, 64, words.span), from: start)
        }
        note(
            differences(
                slots.extracting(whole..<slots.count), owners.extracting(whole..<slots.count),
                slots.count - whole, words.span), from: whole)
        return unsettled
    }

    /// A bit for each of at most 64 slots that has another word than its owner's: a branch for each
    /// would be foretold badly. The last of `words` is nobody's.
    @inline(__always)
    private func differences(
        _ slots: Span<Slot>, _ owners: Span<UInt16>, _ count: Int, _ words: Span<UInt32>
    ) -> UInt64 {
        var differences: UInt64 = 0
        for place in 0..<count {
            let word = words[min(Int(owners[place]), words.count - 1)]
            differences |= (slots[place].word == word ? 0 : 1) &<< UInt64(place)
        }
        return differences
    }

    /// How many slots each of `members` owns.
    public func shares(of members: Int) -> [Int] {
        owners.reduce(into: Array(repeating: 0, count: members)) { shares, owner in
            if owner != Self.nobody { shares[Int(owner)] += 1 }
        }
    }

    /// How ready a member is that serves fully; one that does not serve is 0.
    public static let ready: UInt16 = 256

    /// The table when not all of the members serve fully.
    ///
    /// A slot stays with its base owner in proportion to how ready that is, and else falls to the
    /// best of those that serve fully; if none does, of those that serve at all. So when the
    /// readiness of some changes, no slot moves between two others: provided that somebody serves
    /// fully before and after, or nobody does.
    ///
    /// - Parameters:
    ///   - members: Those that the table was made of, in the same order.
    ///   - readiness: For each of them 0 to ``ready``.
    public func falling(from members: [Member], to readiness: [UInt16]) -> SlotTable {
        precondition(members.count == readiness.count)
        let readiness = effective(readiness, of: members)
        guard readiness.contains(where: { $0 < Self.ready }) else { return self }
        let candidates = members.indices
            .filter { readiness[$0] == Self.ready && members[$0].weight > 0 }
            .map { Candidate(index: UInt16($0), member: members[$0]) }
            .sorted { $0.address < $1.address }
        let seeds = members.map { stableHash($0.address.bytes) }
        var fallen = owners
        for slot in owners.indices {
            let owner = Int(owners[slot])
            if owner == Int(Self.nobody) || readiness[owner] == Self.ready { continue }
            // The lowest bits, of which the rendezvous makes no use.
            let place = UInt16(truncatingIfNeeded: mix(seeds[owner] ^ mix(UInt64(slot)))) & 0xFF
            if place < readiness[owner] { continue }
            fallen[slot] = rendezvous(slot: slot, candidates) ?? Self.nobody
        }
        return SlotTable(owners: fallen)
    }

    /// When nobody serves fully, whoever serves at all does.
    private func effective(_ readiness: [UInt16], of members: [Member]) -> [UInt16] {
        let isAnyReady = members.indices.contains {
            readiness[$0] >= Self.ready && members[$0].weight > 0
        }
        return readiness.map { $0 > 0 && !isAnyReady ? Self.ready : min($0, Self.ready) }
    }
}

/// A backend that can take over a slot, with what is the same for every slot worked out.
private struct Candidate {
    let index: UInt16
    let address: IPAddress
    let seed: UInt64
    let weight: UInt64

    init(index: UInt16, member: SlotTable.Member) {
        self.index = index
        address = member.address
        seed = stableHash(member.address.bytes)
        weight = UInt64(member.weight)
    }
}

/// The candidate with the lowest improbability / weight: each wins in proportion to its weight,
/// and none but the slots of a lost one change hands (Thaler, Ravishankar 1998; weights after
/// Schindelhauer, Schomaker 2005).
private func rendezvous(slot: Int, _ candidates: [Candidate]) -> UInt16? {
    let slotSeed = mix(UInt64(slot))
    var best: (cost: UInt64, weight: UInt64, index: UInt16)?
    for candidate in candidates {
        let cost = improbability(of: mix(candidate.seed ^ slotSeed))
        // cost / weight < best.cost / best.weight without a division; costs have 39 bits at most.
        if let known = best, cost * known.weight >= known.cost * candidate.weight { continue }
        best = (cost, candidate.weight, candidate.index)
    }
    return best?.index
}

/// Weighted Maglev: in turn, in proportion to their weights, backends take the next free slot of
/// a permutation of their own, until each has its quota.
private func maglev(_ members: [SlotTable.Member], count: Int, nobody: UInt16) -> [UInt16] {
    let order = members.indices.filter { members[$0].weight > 0 }
        .sorted { members[$0].address < members[$1].address }
    var owners = Array(repeating: nobody, count: count)
    guard let heaviest = order.map({ Int(members[$0].weight) }).max() else { return owners }

    let quotas = quotas(of: order.map { Int(members[$0].weight) }, count: count)
    var walkers = zip(order, quotas).map {
        Walker(
            member: $0, weight: Int(members[$0].weight), quota: $1, heaviest: heaviest,
            seed: stableHash(members[$0].address.bytes))
    }
    var free = count
    while free > 0 {
        for index in walkers.indices where walkers[index].takesTurn(heaviest: heaviest) {
            let slot = walkers[index].nextFree(in: owners, nobody: nobody)
            owners[slot] = UInt16(walkers[index].member)
            free -= 1
        }
    }
    return owners
}

/// A backend on its way through its permutation of the slots.
private struct Walker {
    let member: Int
    private let weight: Int
    private let skip: Int
    private var quota: Int
    private var position: Int
    private var credit: Int

    init(member: Int, weight: Int, quota: Int, heaviest: Int, seed: UInt64) {
        self.member = member
        self.weight = weight
        self.quota = quota
        // Odd, and the number of slots a power of two: so the walk visits every slot.
        skip = Int(mix(seed) >> 32) | 1
        position = Int(seed >> 32)
        // The first round gives everyone a slot, however light.
        credit = heaviest - weight
    }

    /// Whether it takes a slot in this round: the heaviest does in every one.
    mutating func takesTurn(heaviest: Int) -> Bool {
        guard quota > 0 else { return false }
        credit += weight
        guard credit >= heaviest else { return false }
        credit -= heaviest
        quota -= 1
        return true
    }

    mutating func nextFree(in owners: [UInt16], nobody: UInt16) -> Int {
        let mask = owners.count - 1
        while owners[position & mask] != nobody { position &+= skip }
        return position & mask
    }
}

/// How many of `count` slots each weight is due: its exact share rounded down, at least one, and
/// what is left over to those that lost most by rounding.
func quotas(of weights: [Int], count: Int) -> [Int] {
    let total = weights.reduce(0, +)
    var quotas = weights.map { max(1, count * $0 / total) }
    let remainders = weights.indices.sorted {
        let (left, right) = (count * weights[$0] % total, count * weights[$1] % total)
        return left == right ? $0 < $1 : left > right
    }
    var missing = count - quotas.reduce(0, +)
    // Too many were given when many had to get their one: the richest give back.
    while missing < 0 {
        guard let richest = quotas.indices.max(by: { quotas[$0] < quotas[$1] }) else { break }
        quotas[richest] -= 1
        missing += 1
    }
    for index in remainders.prefix(missing) { quotas[index] += 1 }
    return quotas
}
