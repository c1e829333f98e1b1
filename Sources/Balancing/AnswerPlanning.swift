import Packets

// What answers need: as whose they leave, and where `full-nat` has them sent to.

extension Planner {
    /// The answers of `backend` that are to be the target's.
    ///
    /// A backend can answer for one VIP only. One that gets no new flows here leaves its answers to
    /// whoever else has it.
    func answers(of backend: Target.Backend, _ target: Target) -> [Return] {
        target.returns(of: backend).filter { answer in
            guard wantedReturns[answer.from] == answer.to else { return false }
            guard backend.load.isClosed, others == .kept, let held = contents.returns[answer.from],
                !wanted.contains(held), let other = contents.keys[held]?.service
            else { return true }
            return claims.contains(other)
        }
    }

    /// Whether another service has the backend's answers, or is to have them: flows that it has
    /// here can't live.
    func isTaken(_ backend: Target.Backend, from target: Target) -> Bool {
        answers(of: backend, target).count < target.returns(of: backend).count
    }

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

/// As whose the answers of all backends leave. Of two targets that want the same the first one has
/// it in which the backend gets new flows.
func wantedAnswers(of targets: [Target]) -> [ReturnKey: ServiceKey] {
    func answers(areOver isClosed: Bool) -> some Sequence<(ReturnKey, ServiceKey)> {
        targets.lazy.flatMap { target in
            target.backends.lazy.filter { $0.load.isClosed == isClosed }
                .flatMap(target.returns).map { ($0.from, $0.to) }
        }
    }
    let open = Dictionary(answers(areOver: false), uniquingKeysWith: { first, _ in first })
    return open.merging(answers(areOver: true)) { first, _ in first }
}
