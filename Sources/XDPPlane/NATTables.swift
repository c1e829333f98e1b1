package import BPF
public import Balancing
package import CDatapath
import Packets

// Answers of `nat` backends, and the addresses and flows of `full-nat`.

// MARK: - Answers of `nat` backends

extension XDPPlane {
    func returns() throws(Failure) -> [ReturnKey: ServiceKey] {
        var found: [ReturnKey: ServiceKey] = [:]
        for key in try tables.natReturns.keys() {
            guard let value = try tables.natReturns.value(for: key), let key = key.key
            else { continue }
            found[key] = value.key(key.transport)
        }
        return found
    }

    /// The flag first: where it is not set nobody looks.
    func set(_ returns: [Return]) throws(Failure) {
        try flag(MARTLET_SETTING_NAT_RETURNS, true)
        try tables.natReturns.set(
            returns.map { (martlet_nat_key($0.from), martlet_nat_return($0.to)) })
    }

    func remove(_ keys: [ReturnKey]) throws(Failure) {
        for key in keys { try tables.natReturns.remove(martlet_nat_key(key)) }
        try clearFlags()
    }

    /// Nobody is to look into an empty table.
    private func clearFlags() throws(Failure) {
        let (returns, addresses) = (
            try tables.natReturns.isEmpty(), try tables.natAddresses.isEmpty()
        )
        try flag(MARTLET_SETTING_NAT_RETURNS, !returns)
        try flag(MARTLET_SETTING_NAT_ADDRESSES, !addresses)
    }

    private func flag(_ setting: martlet_setting, _ isSet: Bool) throws(Failure) {
        try setFlag(setting, isSet, in: tables.settings)
    }
}

// MARK: - Addresses of `full-nat`

extension XDPPlane {
    func pool() throws(Failure) -> NATPool {
        var pool = NATPool()
        for number in 1..<UInt32(tables.natSources.capacity) {
            guard let address = try tables.natSources.value(for: number)?.unmapped else {
                continue
            }
            pool.addresses[NATAddressID(UInt16(number))] = address
        }
        for family in IPFamily.allCases {
            var shares = pool[family]
            for number in shares.indices {
                let share = try tables.natShares.value(for: index(of: number, family))
                shares[number] = share?.share ?? NATShare()
            }
            pool[family] = shares
        }
        return pool
    }

    /// The source last: only an address of which everything else is there has one.
    func add(_ address: IPAddress, as id: NATAddressID) throws(Failure) {
        let table = try Map<UInt32, martlet_nat_bucket>(
            creating: .array, named: "nat_table", capacity: Int(MARTLET_NAT_BUCKETS.rawValue),
            flags: .mappable)
        let number = UInt32(id.number)
        try flag(MARTLET_SETTING_NAT_ADDRESSES, true)
        try inner.add(table, as: InnerPins.Name(.nat, number))
        try tables.natTables.set(inner: table, for: number)
        try tables.natAddresses.set(number, for: martlet_address(mapping: address))
        try tables.natSources.set(martlet_address(mapping: address), for: number)
    }

    func write(_ changes: [NATShareChange]) throws(Failure) {
        for change in changes {
            try tables.natShares.set(
                martlet_nat_share(change.share), for: index(of: change.number, change.family))
        }
    }

    func removeNATAddress(_ id: NATAddressID) throws(Failure) {
        let number = UInt32(id.number)
        let address = try tables.natSources.value(for: number)
        try tables.natSources.set(martlet_address(), for: number)
        if let address { try tables.natAddresses.remove(address) }
        try tables.natTables.remove(number)
        try inner.remove(InnerPins.Name(.nat, number))
        try clearFlags()
    }

    /// The flows of an address, by its number; nil: there is no such address.
    package func natTable(
        _ number: UInt32
    ) throws(Failure) -> Map<UInt32, martlet_nat_bucket>? {
        guard let id = try tables.natTables.value(for: number) else { return nil }
        return try inner.open(InnerPins.Name(.nat, number), id: id)
    }

    /// Those of IPv4 come first.
    private func index(of share: Int, _ family: IPFamily) -> UInt32 {
        UInt32(share) + (family == .v4 ? 0 : UInt32(MARTLET_NAT_SHARES.rawValue))
    }

    /// What belongs to no address: a controller was killed between two of the above.
    func removeLeftoversOfNAT() throws(Failure) {
        let known = try pool().addresses
        for number in 1..<UInt32(tables.natTables.capacity)
        where known[NATAddressID(UInt16(number))] == nil {
            if try tables.natTables.value(for: number) != nil {
                try tables.natTables.remove(number)
            }
        }
        for address in try tables.natAddresses.keys() {
            guard let number = try tables.natAddresses.value(for: address) else { continue }
            let owner = known[NATAddressID(UInt16(truncatingIfNeeded: number))]
            if owner == nil || owner != address.unmapped { try tables.natAddresses.remove(address) }
        }
        try clearFlags()
    }
}

// MARK: - Flows of `full-nat`

extension XDPPlane {
    public func natUse(at addresses: Set<NATAddressID>) throws -> NATUse {
        var counts: [NATAddressID: [Int]] = [:]
        let known = try pool().addresses
        for id in addresses.sorted() {
            guard known[id] != nil,
                let table = try natTable(UInt32(id.number))
            else { continue }
            counts[id] = try openFlows(in: table)
        }
        return NATUse(counts)
    }

    /// For each share the flows that have neither ended nor been idle for too long.
    private func openFlows(
        in table: borrowing Map<UInt32, martlet_nat_bucket>
    ) throws(Failure) -> [Int] {
        let words = try MappedArray<UInt64>(table)
        let now = coarseTime()
        var counts = [Int](repeating: 0, count: NATPool.shareCount)
        for bucket in Int(MARTLET_NAT_FIRST_BUCKET.rawValue)..<table.capacity {
            for lane in 0..<Int(MARTLET_NAT_LANES.rawValue) {
                let word = words[bucket * wordsOfNATBucket + lane]
                if isOpen(word, now) { counts[natShare(word)] += 1 }
            }
        }
        return counts
    }
}
