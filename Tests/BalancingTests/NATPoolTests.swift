import Balancing
import Packets
import Testing

/// Which NAT address the flows of `full-nat` have, while addresses come and go.
struct NATPoolTests {
    private func address(_ number: UInt32) -> IPAddress { .v4(IPv4Address(0xC000_0200 + number)) }

    /// What is open, as a plane would count it.
    private struct Flows {
        /// At an address, of a share.
        struct Place: Hashable {
            let address: NATAddressID
            let share: Int
        }
        var open: [Place: Int] = [:]

        var use: NATUse {
            var counts: [NATAddressID: [Int]] = [:]
            let none = Array(repeating: 0, count: NATPool.shareCount)
            for (place, count) in open {
                counts[place.address, default: none][place.share] += count
            }
            return NATUse(counts)
        }
    }

    private func plan(
        _ contents: PlaneContents, _ addresses: [IPAddress], _ flows: Flows = Flows(),
        capacity: Plan.Capacity = Plan.Capacity()
    ) throws -> Plan {
        try Plan(
            from: contents, to: [], others: .kept,
            pool: Plan.Pool(addresses: addresses, use: flows.use), capacity: capacity)
    }

    private func held(_ contents: PlaneContents) -> [IPAddress: Int] {
        contents.pool[.v4].reduce(into: [:]) { held, share in
            if let owner = share.owner.flatMap({ contents.pool.addresses[$0] }) {
                held[owner, default: 0] += 1
            }
        }
    }

    @Test(arguments: 1...9 as ClosedRange<UInt32>)
    func `addresses have as many shares each, and only those of a new one move`(count: UInt32)
        throws
    {
        var contents = PlaneContents()
        for number in 1...count {
            let before = contents.pool
            let addresses = (1...number).map(address)
            for step in try plan(contents, addresses).steps { contents.apply(step) }
            let held = held(contents)
            #expect(held.count == Int(number))
            #expect((held.values.max() ?? 0) - (held.values.min() ?? 0) <= 1)
            let new = contents.pool.addresses.first { $0.value == address(number) }?.key
            for (old, share) in zip(before[.v4], contents.pool[.v4]) where share.owner != new {
                #expect(share.owner == old.owner)
            }
            // A restart finds nothing to do but to forget.
            for step in try plan(contents, addresses).steps { contents.apply(step) }
            #expect(try plan(contents, addresses).steps.isEmpty)
            #expect(contents.pool[.v4].allSatisfy { $0.former == nil })
            #expect(contents.pool[.v6] == NATPool()[.v6])
        }
    }

    @Test(arguments: 0..<40)
    func `no flow is lost while addresses come and go, unless its share moves twice`(seed: Int)
        throws
    {
        var random = SeededGenerator(seed: UInt64(seed))
        var contents = PlaneContents()
        var flows = Flows()
        for _ in 0..<12 {
            let addresses = (1...5).map(address).filter { _ in Bool.random(using: &random) }
            let wanted = Set(addresses)
            let before = contents
            let lossy = before.pool[.v4].indices.filter { isLossy(before, $0, wanted, flows) }
            for step in try plan(contents, addresses, flows).steps {
                contents.apply(step)
                for place in flows.open.keys where !lossy.contains(place.share) {
                    #expect(isFound(contents, place), "\(place) after \(step)")
                }
            }
            for share in lossy {
                // Of two places where there are flows it keeps the one with more.
                let counts = [before.pool[.v4][share].owner, before.pool[.v4][share].former]
                    .map { flows.use.flows(at: $0, share: share) }
                let left = flows.open.filter { $0.key.share == share && isFound(contents, $0.key) }
                #expect(left.values.reduce(0, +) == counts.max())
            }
            flows.open = flows.open.filter { isFound(contents, $0.key) }
            let owners = Set(contents.pool[.v4].compactMap(\.owner))
            #expect(owners.compactMap { contents.pool.addresses[$0] }.allSatisfy(wanted.contains))
            live(&flows, contents, everywhere: seed % 2 == 0, &random)
        }
        // When all have ended nothing is left but what is wanted.
        for _ in 0..<3 {
            for step in try plan(contents, [address(9)]).steps { contents.apply(step) }
        }
        #expect(Array(contents.pool.addresses.values) == [address(9)])
        for _ in 0..<2 { for step in try plan(contents, []).steps { contents.apply(step) } }
        #expect(contents.pool == NATPool())
    }

    /// Some flows end, others are opened where the pool says.
    private func live(
        _ flows: inout Flows, _ contents: PlaneContents, everywhere: Bool,
        _ random: inout SeededGenerator
    ) {
        flows.open = flows.open.filter { _ in Int.random(in: 0..<3, using: &random) > 0 }
        for share in 0..<NATPool.shareCount
        where everywhere || Int.random(in: 0..<8, using: &random) == 0 {
            guard let owner = contents.pool[.v4][share].owner else { continue }
            flows.open[.init(address: owner, share: share), default: 0] +=
                Int.random(in: 1...3, using: &random)
        }
    }

    private func isFound(_ contents: PlaneContents, _ place: Flows.Place) -> Bool {
        let share = contents.pool[.v4][place.share]
        return contents.pool.addresses[place.address] != nil
            && (share.owner == place.address || share.former == place.address)
    }

    /// Its owner leaves, and there are flows at its former owner, which is not wanted either.
    private func isLossy(
        _ contents: PlaneContents, _ number: Int, _ wanted: Set<IPAddress>, _ flows: Flows
    ) -> Bool {
        let share = contents.pool[.v4][number]
        let address = { (id: NATAddressID?) in id.flatMap { contents.pool.addresses[$0] } }
        guard let owner = address(share.owner), !wanted.contains(owner),
            let former = address(share.former), !wanted.contains(former)
        else { return false }
        return flows.use.flows(at: share.former, share: number) > 0
    }

    @Test func `a full plane gives up flows at addresses that are not wanted, and only then`()
        throws
    {
        let capacity = Plan.Capacity(natAddresses: 4)
        var contents = PlaneContents()
        for step in try plan(contents, [1, 2].map(address), capacity: capacity).steps {
            contents.apply(step)
        }
        var flows = Flows()
        for (number, share) in contents.pool[.v4].enumerated() {
            if let owner = share.owner { flows.open[.init(address: owner, share: number)] = 1 }
        }
        let moved = try plan(contents, [2, 3].map(address), flows, capacity: capacity)
        for step in moved.steps { contents.apply(step) }
        #expect(contents.pool.addresses.count == 3, "there was room to wait")
        for step in try plan(contents, [2, 3, 4].map(address), flows, capacity: capacity).steps {
            contents.apply(step)
            #expect(contents.pool.addresses.count <= 3)
        }
        #expect(Set(contents.pool.addresses.values) == Set([2, 3, 4].map(address)))
        #expect(throws: Plan.Exhausted.self) {
            try plan(contents, [1, 2, 3, 4].map(address), capacity: capacity)
        }
    }
}

/// Backends of `nat` services that one hands to another.
struct HandOverTests {
    private func target(_ vip: UInt32, _ ports: Ports, _ backends: [UInt32]) -> Target {
        let members = backends.map { SlotTable.Member(address: .v4(IPv4Address($0)), weight: 1) }
        let vip = VIP(.v4(IPv4Address(vip)))
        return Target(
            vip: vip, keys: Frontend(vip: vip.prefix, ports: ports, transport: .tcp).keys,
            forwarding: .nat,
            backends: members.map { Target.Backend(address: $0.address, nextHop: nil) },
            slots: SlotTable(members: members, count: 64))
    }

    /// A backend that a file gives to another service is drained by the one that had it.
    @Test(arguments: [[0, 1], [1, 0]])
    func `a backend that gets no new flows leaves its answers to the service where it does`(
        order: [Int]
    ) throws {
        var contents = PlaneContents()
        func apply(_ targets: [Target], _ others: Plan.Others = .removed) throws -> Int {
            let plan = try Plan(from: contents, to: targets, others: others)
            for step in plan.steps { contents.apply(step) }
            return plan.steps.count
        }
        #expect(try apply([target(100, Ports(80), [1, 2]), target(200, Ports(80), [3])]) > 0)
        var losing = target(100, Ports(80), [1])
        losing.backends.append(
            Target.Backend(
                address: .v4(IPv4Address(2)), nextHop: nil, load: .init(isClosed: true)))
        let both = [losing, target(200, Ports(80), [2, 3])]
        #expect(try apply(order.map { both[$0] }) > 0)
        let key = ReturnKey(backend: .v4(IPv4Address(2)), port: 80, transport: .tcp)
        #expect(contents.returns[key]?.vip == .v4(IPv4Address(200)))
        let losers = contents.keys.filter { $0.key.vip == .v4(IPv4Address(100)) }.values
        for id in losers.map(\.service) {
            let named = contents.services[id]?.named.compactMap { contents.backends[$0]?.address }
            #expect(named == [.v4(IPv4Address(1))])
        }
        // It does not go to and fro.
        #expect(try apply(order.map { both[$0] }) == 0)
        for target in both { #expect(try apply([target], .kept) == 0) }
        // Without the other it is the first one's again.
        #expect(try apply([losing]) > 0)
        #expect(contents.returns[key]?.vip == .v4(IPv4Address(100)))
    }

    @Test(
        arguments: [[100, 200], [200, 100]] as [[UInt32]],
        [(Ports(80), Ports(80)), (.any, .any), (.any, Ports(80))])
    func `a backend's answers become another VIP's when no slot of the first names it any more`(
        order: [UInt32], ports: (Ports, Ports)
    ) throws {
        var contents = PlaneContents()
        let lists: [[UInt32: [UInt32]]] = [
            [100: [1, 2], 200: [3]], [100: [1], 200: [2, 3]], [100: [1, 2], 200: [3]],
        ]
        for backends in lists {
            let targets = order.map {
                target($0, $0 == 100 ? ports.0 : ports.1, backends[$0] ?? [])
            }
            for step in try Plan(from: contents, to: targets, others: .removed).steps {
                contents.apply(step)
                for (key, entry) in contents.keys {
                    for number in contents.services[entry.service]?.named ?? [] {
                        let backend = try #require(contents.backends[number])
                        let found = [80, nil].lazy.compactMap {
                            contents.returns[
                                ReturnKey(backend: backend.address, port: $0, transport: .tcp)]
                        }.first
                        #expect(found == key, "after \(step)")
                    }
                }
            }
        }
    }
}
