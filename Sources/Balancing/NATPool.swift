public import Packets

/// The number by which a plane knows a NAT address; never 0.
public struct NATAddressID: Hashable, Comparable, Sendable {
    public let number: UInt16
    public init(_ number: UInt16) { self.number = number }
    public static func < (left: Self, right: Self) -> Bool { left.number < right.number }
}

/// Where the flows of one part of a family's are: the hash of a flow names its share.
public struct NATShare: Hashable, Sendable {
    /// Where new flows get their ports; nil: nowhere, they are dropped.
    public var owner: NATAddressID?
    /// Where flows that were opened before may still be; nil: nowhere else.
    public var former: NATAddressID?

    public init(owner: NATAddressID? = nil, former: NATAddressID? = nil) {
        self.owner = owner
        self.former = former
    }
}

/// What a plane sends the flows of `full-nat` from.
public struct NATPool: Hashable, Sendable {
    /// Those whose answers are recognised, each with a table of its flows.
    public var addresses: [NATAddressID: IPAddress]
    private var v4: [NATShare]
    private var v6: [NATShare]

    /// The parts into which the flows of a family are divided.
    public static let shareCount = 256

    public init(addresses: [NATAddressID: IPAddress] = [:]) {
        self.addresses = addresses
        v4 = Array(repeating: NATShare(), count: Self.shareCount)
        v6 = v4
    }

    /// The shares of a family, ``shareCount`` of them.
    public subscript(family: IPFamily) -> [NATShare] {
        get { family == .v4 ? v4 : v6 }
        set {
            precondition(newValue.count == Self.shareCount)
            if family == .v4 { v4 = newValue } else { v6 = newValue }
        }
    }

    /// Those of which a plan has to know the flows, if these are to be the addresses: former
    /// owners, and what is not wanted any more.
    public func inQuestion(wanting wanted: [IPAddress]) -> Set<NATAddressID> {
        let wanted = Set(wanted)
        let unwanted = addresses.filter { !wanted.contains($0.value) }.keys
        return Set((v4 + v6).compactMap(\.former)).union(unwanted)
    }

    /// Those that a share has, as owner or as former owner.
    var named: Set<NATAddressID> {
        Set((v4 + v6).flatMap { [$0.owner, $0.former] }.compactMap(\.self))
    }
}

/// A share of one family and what becomes of it.
public struct NATShareChange: Hashable, Sendable {
    public var family: IPFamily
    /// 0 to ``NATPool/shareCount`` - 1.
    public var number: Int
    public var share: NATShare

    public init(family: IPFamily, number: Int, share: NATShare) {
        self.family = family
        self.number = number
        self.share = share
    }
}

/// How many flows are open at each NAT address, by share: what a change must not cut.
public struct NATUse: Hashable, Sendable {
    private var counts: [NATAddressID: [Int]]

    /// - Parameter counts: Of each address one number for each share; others have no flows.
    public init(_ counts: [NATAddressID: [Int]] = [:]) {
        precondition(counts.values.allSatisfy { $0.count == NATPool.shareCount })
        self.counts = counts
    }

    /// The flows of this share that are open at that address.
    public func flows(at address: NATAddressID?, share: Int) -> Int {
        address.flatMap { counts[$0]?[share] } ?? 0
    }
}

extension NATPool {
    /// The shares of a family when `members` are the addresses to send from.
    ///
    /// All have as many, give or take one. A share stays where it is unless its address is no
    /// member any more or has too many: an address that joins gets its part from those that have
    /// most, and nothing else moves. What is given is a function of what is held, so that a restart
    /// changes nothing.
    ///
    /// A share that moves remembers where it was, and flows that were opened there go on. There
    /// is memory for one: a share does not move for the sake of balance while its former owner has
    /// flows of it. It moves all the same when its owner leaves: to the former owner if that is a
    /// member, so that nothing is cut, and else away from both, and it remembers the one with more
    /// flows. A former owner is forgotten when no flow of the share is open there.
    ///
    /// - Parameters:
    ///   - members: In an order that is the same after a restart.
    ///   - use: What was open a moment ago.
    func shares(of family: IPFamily, among members: [NATAddressID], _ use: NATUse) -> [NATShare] {
        var shares = self[family].enumerated().map { number, share in
            let isUsed = use.flows(at: share.former, share: number) > 0
            return isUsed ? share : NATShare(owner: share.owner, former: nil)
        }
        guard !members.isEmpty else {
            return shares.enumerated().map { $1.left(for: nil, $0, use) }
        }
        var allotment = Allotment(of: shares, among: members)
        var homeless: [Int] = []
        // Those that can't move come first: what they take up, others can't have.
        let order =
            shares.indices.filter { shares[$0].former != nil }
            + shares.indices.filter { shares[$0].former == nil }
        for number in order where !allotment.keep(shares[number]) { homeless.append(number) }
        for number in homeless.sorted() {
            let former = shares[number].former
            guard let owner = allotment.take(former) ?? allotment.neediest() else { continue }
            shares[number] = shares[number].left(for: owner, number, use)
        }
        return shares
    }
}

extension NATShare {
    /// The share after it has moved to `next`.
    fileprivate func left(for next: NATAddressID?, _ number: Int, _ use: NATUse) -> NATShare {
        guard owner != next else { return self }
        // The owner's flows may be younger than the count: it is remembered even without any.
        let candidates = [owner, former].compactMap(\.self).filter { $0 != next }
        let former = candidates.enumerated().max { left, right in
            let (one, other) = (
                use.flows(at: left.element, share: number),
                use.flows(at: right.element, share: number)
            )
            return one == other ? left.offset > right.offset : one < other
        }
        return NATShare(owner: next, former: former?.element)
    }
}

/// How many shares each address may have, and has.
private struct Allotment {
    private let quotas: [NATAddressID: Int]
    private let order: [NATAddressID]
    private var held: [NATAddressID: Int] = [:]

    /// What can't be divided evenly stays with those that have most.
    init(of shares: [NATShare], among members: [NATAddressID]) {
        let present = shares.reduce(into: [NATAddressID: Int]()) { present, share in
            if let owner = share.owner { present[owner, default: 0] += 1 }
        }
        let ranked = members.enumerated().sorted {
            (present[$1.element] ?? 0, $0.offset) < (present[$0.element] ?? 0, $1.offset)
        }
        let (least, extra) = shares.count.quotientAndRemainder(dividingBy: members.count)
        quotas = Dictionary(
            uniqueKeysWithValues: ranked.enumerated().map {
                ($0.element.element, least + ($0.offset < extra ? 1 : 0))
            })
        order = members
    }

    /// Whether the share can stay with its owner; if so it is counted.
    mutating func keep(_ share: NATShare) -> Bool {
        guard let owner = share.owner, let quota = quotas[owner] else { return false }
        guard share.former != nil || held[owner, default: 0] < quota else { return false }
        held[owner, default: 0] += 1
        return true
    }

    /// The address, if it is a member, with one share more.
    mutating func take(_ address: NATAddressID?) -> NATAddressID? {
        guard let address, quotas[address] != nil else { return nil }
        held[address, default: 0] += 1
        return address
    }

    /// The address that lacks most, with one share more.
    mutating func neediest() -> NATAddressID? {
        let most = order.map { (quotas[$0] ?? 0) - held[$0, default: 0] }.max()
        return take(order.first { (quotas[$0] ?? 0) - held[$0, default: 0] == most })
    }
}
