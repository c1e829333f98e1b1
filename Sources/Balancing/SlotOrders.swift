// The tables of the schedulers that do not choose by the flow's hash.

extension SlotTable {
    /// The table of a service with this scheduler.
    ///
    /// - Parameters:
    ///   - members: Those that this table, of base owners, was made of, in the same order.
    ///   - readiness: For each of them 0 to ``ready``.
    /// - Returns: The table, and after how many slots its order begins again; 0: it has none.
    public func arranged(
        for scheduler: Scheduler, _ members: [Member], _ readiness: [UInt16]
    ) -> (table: SlotTable, turnLength: Int) {
        switch scheduler {
        case .maglev: (falling(from: members, to: readiness), 0)
        case .roundRobin: Self.roundRobin(members, readiness, count: count)
        case .leastConnections, .responseTime: (pool(members, readiness), 0)
        }
    }

    /// The order in which members take their turns: smooth weighted round-robin, as nginx has it.
    ///
    /// Whoever serves has as many slots of each period as its weight says, spread evenly. Where the
    /// period is longer than the table, weights are rounded to slots of the table, at least one.
    ///
    /// - Parameters:
    ///   - members: At most as many as `count`, in any order.
    ///   - readiness: For each of them 0 to ``ready``; it scales the weight.
    ///   - count: How many slots.
    /// - Returns: The order over and over again, and how many slots whole periods fill.
    public static func roundRobin(
        _ members: [Member], _ readiness: [UInt16], count: Int
    ) -> (table: SlotTable, turnLength: Int) {
        precondition(members.count == readiness.count && members.count <= count)
        let serving = serving(members, readiness)
        guard !serving.isEmpty else {
            return (SlotTable(owners: Array(repeating: nobody, count: count)), count)
        }
        var weights = scaled(serving.map { Int(members[$0].weight) * Int(readiness[$0]) })
        if weights.reduce(0, +) > count { weights = quotas(of: weights, count: count) }
        let order = smoothOrder(weights).map { UInt16(serving[$0]) }
        let owners = (0..<count).map { order[$0 % order.count] }
        return (SlotTable(owners: owners), count / order.count * order.count)
    }

    /// The table in which the member with the lowest cost is looked for among some slots.
    ///
    /// Where at most ``poolLimit`` serve, every group of so many slots has all of them, and each
    /// group begins with another one. Of more, their weights say how often a group has each.
    ///
    /// - Parameters:
    ///   - members: Those that this table, of base owners, was made of, in the same order.
    ///   - readiness: For each of them 0 to ``ready``.
    public func pool(_ members: [Member], _ readiness: [UInt16]) -> SlotTable {
        let serving = Self.serving(members, readiness)
        guard !serving.isEmpty, serving.count <= Self.poolLimit else {
            return falling(from: members, to: readiness)
        }
        return SlotTable(
            owners: (0..<count).map {
                UInt16(serving[($0 + $0 / Self.poolLimit) % serving.count])
            })
    }

    /// Slots that are looked through for the lowest cost: MARTLET_SLOT_GROUP.
    public static let poolLimit = 16

    /// What costs are divided by, for each of the members: weights scaled by readiness, as far as
    /// 16 bits can say it. Those that do not serve have 1.
    public static func costWeights(_ members: [Member], _ readiness: [UInt16]) -> [UInt16] {
        let products = scaled(
            zip(members, readiness).map { Int($0.weight) * Int(min($1, ready)) })
        let largest = products.max() ?? 0
        return products.map { product in
            let fitting =
                largest > Int(UInt16.max) ? product * Int(UInt16.max) / largest : product
            return UInt16(max(1, fitting))
        }
    }

    /// The members that serve, by their addresses, as indices.
    private static func serving(_ members: [Member], _ readiness: [UInt16]) -> [Int] {
        members.indices.filter { members[$0].weight > 0 && readiness[$0] > 0 }
            .sorted { members[$0].address < members[$1].address }
    }
}

/// The smallest whole numbers in the same proportions.
private func scaled(_ weights: [Int]) -> [Int] {
    let divisor = weights.reduce(0, greatestCommonDivisor)
    return divisor > 1 ? weights.map { $0 / divisor } : weights
}

private func greatestCommonDivisor(_ left: Int, _ right: Int) -> Int {
    var (left, right) = (left, right)
    while right != 0 { (left, right) = (right, left % right) }
    return left
}

/// One period of smooth weighted round-robin: in each turn everyone gets its weight as credit, and
/// who has most takes the turn and pays what all got.
private func smoothOrder(_ weights: [Int]) -> [Int] {
    let total = weights.reduce(0, +)
    var credits = Array(repeating: 0, count: weights.count)
    return (0..<total).map { _ in
        var best = 0
        for index in weights.indices {
            credits[index] += weights[index]
            if credits[index] > credits[best] { best = index }
        }
        credits[best] -= total
        return best
    }
}
