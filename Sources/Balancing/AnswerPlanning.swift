import Packets

// What answers need: as whose they leave, and where `full-nat` has them sent to.

extension Planner {
    /// Answers of which no target is: their packets went out before, if ever.
    mutating func removeReturns() throws(Plan.Exhausted) {
        let gone = contents.returns.filter { key, value in
            wantedReturns[key] == nil && (others == .removed || wanted.contains(value))
        }.keys.sorted()
        if !gone.isEmpty { try add(.removeReturns(gone)) }
    }

    /// Earlier than in the right order, if new ones would not fit beside them.
    mutating func makeRoomForReturns() throws(Plan.Exhausted) {
        let all = Set(contents.returns.keys).union(wantedReturns.keys)
        if all.count > capacity.returns { try removeReturns() }
    }

    /// Adds what is missing, and has flows opened at what is wanted.
    mutating func fillPool() throws(Plan.Exhausted) {
        guard let pool else { return }
        for address in missingNATAddresses(of: pool) {
            try add(.addNATAddress(freeNATAddress(), address))
        }
        let families = Set(pool.addresses.map(\.family))
        for family in IPFamily.allCases where families.contains(family) {
            let shares = contents.pool.shares(of: family, among: members(family), pool.use)
            try write(shares, of: family)
        }
    }

    /// The rest, when no service is left that needs it.
    mutating func emptyPool() throws(Plan.Exhausted) {
        guard let pool else { return }
        for family in IPFamily.allCases where members(family).isEmpty {
            let shares = contents.pool.shares(of: family, among: [], pool.use)
            try write(shares, of: family)
        }
        try removeNATAddresses()
    }

    /// Cuts the flows at addresses that are not wanted, if new ones would not fit beside them.
    mutating func makeRoomInPool() throws(Plan.Exhausted) {
        guard let pool else { return }
        let count = contents.pool.addresses.count + missingNATAddresses(of: pool).count
        guard count >= Int(capacity.natAddresses) else { return }
        for family in IPFamily.allCases {
            let wanted = Set(members(family))
            let shares = contents.pool[family].map { share in
                let left = [share.owner, share.former].compactMap(\.self).filter(wanted.contains)
                return NATShare(owner: left.first, former: left.dropFirst().first)
            }
            try write(shares, of: family)
        }
        try removeNATAddresses()
    }

    private func missingNATAddresses(of pool: Plan.Pool) -> [IPAddress] {
        let present = Set(contents.pool.addresses.values)
        return pool.addresses.filter { !present.contains($0) }
    }

    /// The numbers of the wanted addresses of a family, as far as they are there.
    private func members(_ family: IPFamily) -> [NATAddressID] {
        let numbers = Dictionary(
            contents.pool.addresses.map { ($0.value, $0.key) }, uniquingKeysWith: min)
        return pool?.addresses.filter { $0.family == family }.compactMap { numbers[$0] } ?? []
    }

    private mutating func write(
        _ after: [NATShare], of family: IPFamily
    ) throws(Plan.Exhausted) {
        let before = contents.pool[family]
        let changes = after.indices.filter { before[$0] != after[$0] }
            .map { NATShareChange(family: family, number: $0, share: after[$0]) }
        if !changes.isEmpty { try add(.writeNATShares(changes)) }
    }

    /// Those that are not wanted, and where no flow is left.
    private mutating func removeNATAddresses() throws(Plan.Exhausted) {
        let kept = contents.pool.named
        let gone = contents.pool.addresses.filter { number, address in
            pool?.addresses.contains(address) == false && !kept.contains(number)
        }.keys.sorted()
        for number in gone { try add(.removeNATAddress(number)) }
    }

    private func freeNATAddress() throws(Plan.Exhausted) -> NATAddressID {
        let free = (1..<capacity.natAddresses).lazy.map { NATAddressID($0) }
            .first { contents.pool.addresses[$0] == nil }
        guard let free else {
            throw Plan.Exhausted(
                description: "cannot add a NAT address: the data plane holds at most "
                    + "\(capacity.natAddresses - 1)")
        }
        return free
    }
}
