import Balancing
import Packets
import Testing

extension PlaneContents.Service {
    /// Whom the slots name, as owner or as former owner.
    var named: Set<BackendID> {
        Set(Set(slots).flatMap { [$0.owner, $0.former] }.compactMap(\.self))
    }
}

struct PlanTests {
    private static let slots = 64

    private func target(
        _ number: UInt32, ports: Ports = Ports(80), backends: [UInt32],
        serves: (UInt32) -> Bool = { _ in true }, access: AccessList = AccessList(),
        forwarding: Forwarding = .ipip, tunnel: Tunnel = Tunnel()
    ) -> Target {
        target(
            VIP(.v4(IPv4Address(number))), ports, backends: backends, serves: serves,
            access: access, forwarding: forwarding, tunnel: tunnel)
    }

    private func target(
        _ vip: VIP, _ ports: Ports, backends: [UInt32], serves: (UInt32) -> Bool = { _ in true },
        access: AccessList = AccessList(), forwarding: Forwarding = .ipip,
        tunnel: Tunnel = Tunnel(), port: UInt16? = nil, nextHop: NextHop? = nil
    ) -> Target {
        let members = backends.map {
            SlotTable.Member(address: .v4(IPv4Address($0)), weight: 1)
        }
        let table = SlotTable(members: members, count: Self.slots)
            .falling(from: members, to: backends.map { serves($0) ? SlotTable.ready : 0 })
        return Target(
            vip: vip,
            keys: Frontend(vip: vip.prefix, ports: ports, transport: .tcp).keys, access: access,
            forwarding: forwarding, tunnel: tunnel,
            backends: members.map {
                Target.Backend(address: $0.address, port: port, nextHop: nextHop)
            },
            slots: table)
    }

    /// What the contents say of a service, in the target's own words.
    private func owners(_ contents: PlaneContents, _ id: ServiceID) -> [IPAddress?]? {
        contents.services[id]?.slots.map { $0.owner.flatMap { contents.backends[$0]?.address } }
    }

    private func owners(_ target: Target) -> [IPAddress?] {
        (0..<target.slots.count).map { target.slots[$0].map { target.backends[$0].address } }
    }

    private func services(_ contents: PlaneContents, _ target: Target) -> Set<ServiceID?> {
        Set(target.keys.map { contents.keys[$0]?.service })
    }

    /// What a plane does one after the other in a step.
    private func parts(of step: Step) -> [Step] {
        switch step {
        case .writeAccess(let id, let changes): changes.map { .writeAccess(id, [$0]) }
        case .setKeys(let keys, let entry): keys.map { .setKeys([$0], entry) }
        case .removeKeys(let keys): keys.map { .removeKeys([$0]) }
        case .setVIPs(let vips): vips.map { .setVIPs([$0]) }
        case .removeVIPs(let prefixes): prefixes.map { .removeVIPs([$0]) }
        case .setReturns(let returns): returns.map { .setReturns([$0]) }
        case .removeReturns(let keys): keys.map { .removeReturns([$0]) }
        default: [step]
        }
    }

    /// Applies `plan` step by step; after each one everything that is named is there.
    private func apply(
        _ plan: Plan, to contents: inout PlaneContents, check: (PlaneContents) -> Void = { _ in }
    ) {
        let changingHands = keysChangingHands(plan, from: contents)
        for step in plan.steps.flatMap(parts) {
            contents.apply(step)
            for (id, service) in contents.services {
                for backend in service.named {
                    #expect(contents.backends[backend]?.service == id, "after \(step)")
                }
            }
            for (key, entry) in contents.keys {
                #expect(contents.services[entry.service] != nil, "\(key) after \(step)")
                for owner in contents.services[entry.service]?.named ?? [] {
                    guard let backend = contents.backends[owner] else { continue }
                    let isFullNAT = backend.forwarding == .fullNAT
                    #expect(isFullNAT == entry.isFullNAT, "\(key) after \(step)")
                    guard backend.forwarding == .nat, !changingHands.contains(key) else { continue }
                    // Be it another service's: no answer leaves as it is.
                    let from = ReturnKey(
                        backend: backend.address, port: backend.port ?? key.port, transport: .tcp)
                    var any = from
                    any.port = nil
                    let found = contents.returns[from] ?? contents.returns[any]
                    #expect(found != nil, "\(key) after \(step)")
                }
            }
            check(contents)
        }
    }

    /// Keys that a service which stays loses, and not to a new one: until then their packets go
    /// where the other keys of that service lead.
    private func keysChangingHands(_ plan: Plan, from before: PlaneContents) -> Set<ServiceKey> {
        var after = before
        for step in plan.steps { after.apply(step) }
        let stay = Set(after.services.keys)
        let old = Set(before.services.keys)
        return Set(
            before.keys.filter { key, entry in
                guard stay.contains(entry.service) else { return false }
                guard let new = after.keys[key]?.service else { return true }
                return new != entry.service && old.contains(new)
            }.keys)
    }

    @Test(arguments: 0..<60)
    func `whatever the plane holds, a plan brings it to the targets and leaves no hole`(
        seed: Int
    ) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        var contents = PlaneContents()
        for _ in 0..<6 {
            let targets = randomTargets(&random)
            let pool = randomPool(for: targets, &random)
            let plan = try Plan(from: contents, to: targets, others: .removed, pool: pool)
            var (before, after) = (contents, contents)
            for step in plan.steps { after.apply(step) }
            let packets = Self.packets.filter {
                find(before, $0) != nil && find(after, $0) != nil
            }
            let asked = packets.filter {
                find(before, $0)?.service == find(after, $0)?.service
                    && isAllowed(before, $0) == isAllowed(after, $0)
            }
            let answered = packets.filter { isAnsweredThroughout(before, after, $0) }
            apply(plan, to: &before) { during in
                for packet in packets { #expect(find(during, packet) != nil) }
                for packet in answered { #expect(isAnswered(during, packet)) }
                if during.keys.values.contains(where: \.isFullNAT) {
                    #expect(during.pool[.v4].allSatisfy { $0.owner != nil })
                }
                for packet in asked {
                    #expect(isAllowed(during, packet) == isAllowed(after, packet))
                }
            }
            contents = before
            try check(contents, targets)
            // What is left is to forget where flows may have been.
            let later = try Plan(from: contents, to: targets, others: .removed, pool: pool)
            for step in later.steps { contents.apply(step) }
            #expect(
                try Plan(from: contents, to: targets, others: .removed, pool: pool).steps.isEmpty)
            #expect(Set(contents.pool.addresses.values) == Set(pool.addresses))
        }
    }

    /// The same when there is room for the targets, and for nothing else.
    @Test(arguments: 0..<20)
    func `a full plane is emptied first of what nobody wants`(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        var contents = PlaneContents()
        for _ in 0..<6 {
            let targets = randomTargets(&random).filter { $0.access.rules.isEmpty }
            let room = Plan.Capacity(
                services: max(
                    UInt32(targets.count), contents.services.keys.map(\.number).max() ?? 0) + 1,
                keys: max(
                    contents.keys.count, Set(targets.flatMap(\.keys)).count))
            // A service can be left with one key that another one wants: that is no room.
            guard
                let plan = try? Plan(
                    from: contents, to: targets, others: .removed, capacity: room)
            else { continue }
            apply(plan, to: &contents) {
                #expect($0.services.count < room.services)
                #expect($0.keys.count <= room.keys)
            }
            try check(contents, targets)
        }
    }

    private func check(_ contents: PlaneContents, _ targets: [Target]) throws {
        #expect(contents.services.count == targets.count)
        #expect(contents.backends.count == targets.reduce(0) { $0 + $1.backends.count })
        #expect(contents.keys.count == targets.reduce(0) { $0 + $1.keys.count })
        #expect(
            contents.vips
                == Dictionary(
                    targets.map { ($0.vip.prefix, $0.vip.settings) }, uniquingKeysWith: { $1 }))
        for target in targets {
            let found = services(contents, target)
            #expect(found.count == 1)
            let id = try #require(found.first ?? nil)
            #expect(owners(contents, id) == owners(target))
            #expect(contents.services[id]?.rules == target.access.rules)
            let others = Set(target.keys.map { contents.keys[$0]?.others })
            #expect(others == [target.access.others])
        }
        let returns = targets.filter { $0.forwarding == .nat }.flatMap { target in
            target.backends.flatMap { backend in
                target.keys.map { key in
                    (
                        ReturnKey(
                            backend: backend.address, port: backend.port ?? key.port,
                            transport: .tcp), key
                    )
                }
            }
        }
        #expect(contents.returns == Dictionary(uniqueKeysWithValues: returns))
    }

    // MARK: - Random targets, and packets for them

    private static let base: UInt32 = 0xCB00_7100
    private static let ports: [UInt16] = [80, 81, 443]
    private static let clients: [UInt32] = [0x0A00_0001, 0x0A01_0001, 0x0A01_0101, 0x0B00_0001]

    private struct Packet {
        let address: IPAddress
        let port: UInt16
        let client: IPAddress
    }

    private static let packets = [0, 1, 5, 8, 15, 16].flatMap { offset in
        (ports + [9999]).flatMap { port in
            clients.map {
                Packet(
                    address: .v4(IPv4Address(base + UInt32(offset))), port: port,
                    client: .v4(IPv4Address($0)))
            }
        }
    }

    private func find(_ contents: PlaneContents, _ packet: Packet) -> PlaneContents.Entry? {
        contents.entry(for: packet.address, port: packet.port, transport: .tcp)
    }

    private func isAllowed(_ contents: PlaneContents, _ packet: Packet) -> Bool? {
        guard let entry = find(contents, packet) else { return nil }
        guard entry.others != .unlisted else { return true }
        let rules = contents.services[entry.service]?.rules ?? [:]
        let longest = rules.filter { $0.key.contains(packet.client) }
            .max { $0.key.length < $1.key.length }
        return longest.map { $0.value == .allow } ?? (entry.others == .allowed)
    }

    /// Whether the answer to the packet comes back as the VIP's, whichever backend gives it.
    private func isAnswered(_ contents: PlaneContents, _ packet: Packet) -> Bool {
        guard let entry = find(contents, packet), let service = contents.services[entry.service]
        else { return false }
        return service.named.allSatisfy { owner in
            guard let backend = contents.backends[owner], backend.forwarding == .nat else {
                return true
            }
            let port = backend.port ?? packet.port
            let found = [port, nil].lazy.compactMap {
                contents.returns[
                    ReturnKey(backend: backend.address, port: $0, transport: .tcp)]
            }.first
            return found?.vip == packet.address && (found?.port ?? port) == packet.port
        }
    }

    /// Whether it has to be so at every moment of a plan: not if its service gives a backend to
    /// another one and gets one, for then it can be that each waits for the other.
    private func isAnsweredThroughout(
        _ before: PlaneContents, _ after: PlaneContents, _ packet: Packet
    ) -> Bool {
        guard isAnswered(before, packet), isAnswered(after, packet),
            let service = find(before, packet)?.service, find(after, packet)?.service == service
        else { return false }
        let owners = { (contents: PlaneContents) in
            contents.returns.reduce(into: [IPAddress: Set<ServiceID>]()) { owners, entry in
                guard let owner = contents.keys[entry.value]?.service else { return }
                owners[entry.key.backend, default: []].insert(owner)
            }
        }
        let (old, new) = (owners(before), owners(after))
        let loses = old.contains { $0.value.contains(service) && new[$0.key] != $0.value }
        let gets = new.contains { $0.value.contains(service) && old[$0.key] != $0.value }
        return !loses || !gets
    }

    /// Services on VIPs inside one another, which share out the ports.
    private func randomTargets(_ random: inout SeededGenerator) -> [Target] {
        let targets = randomServices(&random)
        // Two may not get answers that nothing tells apart: then only the first is `nat`.
        var taken: Set<IPAddress> = []
        return targets.map { target in
            guard target.forwarding == .nat else { return target }
            let backends = target.backends.map(\.address)
            if target.vip.prefix.isSingle, taken.isDisjoint(with: backends) {
                taken.formUnion(backends)
                return target
            }
            var other = target
            other.forwarding = .fullNAT
            return other
        }
    }

    private func randomPool(
        for targets: [Target], _ random: inout SeededGenerator
    ) -> Plan.Pool {
        let addresses = (1...3).map { IPAddress.v4(IPv4Address(0xC000_0200 + $0)) }
        let isNeeded = targets.contains { $0.forwarding == .fullNAT }
        let count = Int.random(in: 1...3, using: &random)
        return Plan.Pool(
            addresses: isNeeded ? Array(addresses.shuffled(using: &random).prefix(count)) : [],
            use: NATUse())
    }

    private func randomServices(_ random: inout SeededGenerator) -> [Target] {
        let prefixes = [
            (0, Bool.random(using: &random) ? 28 : 29), (5, 32), (8, 30), (16, 32),
        ]
        return prefixes.flatMap { offset, length -> [Target] in
            guard Int.random(in: 0..<4, using: &random) > 0 else { return [] }
            let vip = VIP(
                IPPrefix(of: .v4(IPv4Address(Self.base + UInt32(offset))), length: length),
                settings: .init(
                    ping: Bool.random(using: &random) ? .answer : .kernel,
                    otherPorts: Bool.random(using: &random) ? .pass : .drop))
            var shares: [Int: [UInt16]] = [:]
            for port in Self.ports {
                shares[Int.random(in: 0..<3, using: &random), default: []].append(port)
            }
            // The share 0 is nobody's, or any port's.
            var all = shares.filter { $0.key > 0 }.sorted { $0.key < $1.key }
                .map { Ports($0.value.map { $0...$0 }) }
            if Bool.random(using: &random) { all.append(.any) }
            return all.shuffled(using: &random).map { randomTarget(vip, $0, &random) }
        }.shuffled(using: &random)
    }

    private func randomTarget(
        _ vip: VIP, _ ports: Ports, _ random: inout SeededGenerator
    ) -> Target {
        let backends = (1...6 as ClosedRange<UInt32>).filter { _ in Bool.random(using: &random) }
        let down = UInt32.random(in: 1...8, using: &random)
        let source = IPPrefix(of: .v4(IPv4Address(0xAC10_0000)), length: 16)
        let modes = Forwarding.allCases + [.nat, .nat]
        let forwarding = modes.randomElement(using: &random) ?? .ipip
        return target(
            vip, ports,
            backends: forwarding == .nat ? Array(backends.prefix(2)) : backends,
            serves: { $0 != down }, access: randomList(&random), forwarding: forwarding,
            tunnel: Tunnel(sources: Bool.random(using: &random) ? [source] : []),
            port: ports.single != nil && Bool.random(using: &random) ? 8080 : nil)
    }

    private func randomList(_ random: inout SeededGenerator) -> AccessList {
        guard Bool.random(using: &random) else { return AccessList() }
        var rules: [IPPrefix: AccessList.Rule] = [:]
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let client = Self.clients.randomElement(using: &random) ?? 0
            let length = [0, 7, 8, 16, 24, 32].randomElement(using: &random) ?? 32
            rules[IPPrefix(of: .v4(IPv4Address(client)), length: length)] =
                Bool.random(using: &random) ? .allow : .deny
        }
        return AccessList(rules)
    }
}

extension PlanTests {
    @Test(arguments: [[1, 2], [2, 3], [3, 1], [1], [1, 2, 3]] as [[UInt32]])
    func `no slot names a backend without a next hop, also while that comes or goes`(
        reachable: [UInt32]
    ) throws {
        let hop = NextHop(
            egress: Egress(index: 2, name: "eth1", address: MACAddress(1), mtu: 1500),
            neighbour: MACAddress(2), source: .v4(IPv4Address(9)))
        func targetReaching(_ backends: [UInt32]) -> Target {
            var target = target(1, backends: [1, 2, 3], serves: backends.contains)
            for index in target.backends.indices where backends.contains(UInt32(index + 1)) {
                target.backends[index].nextHop = hop
            }
            return target
        }
        var contents = PlaneContents()
        for backends in [[1, 2], reachable, [2, 3], [2]] as [[UInt32]] {
            let plan = try Plan(
                from: contents, to: [targetReaching(backends)], others: .removed)
            for step in plan.steps {
                contents.apply(step)
                for case let owner? in contents.services.values.flatMap(\.slots).map(\.owner) {
                    #expect(contents.backends[owner]?.nextHop != nil, "after \(step)")
                }
            }
            #expect(contents.backends.values.count { $0.nextHop != nil } == backends.count)
        }
    }

    @Test func `services that are not among the targets are kept when asked to`() throws {
        var contents = PlaneContents()
        apply(
            try Plan(
                from: contents, to: [target(1, backends: [1]), target(2, backends: [2])],
                others: .removed), to: &contents)
        let plan = try Plan(from: contents, to: [target(1, backends: [1, 3])], others: .kept)
        apply(plan, to: &contents)
        #expect(contents.services.count == 2)
        #expect(contents.vips.count == 2)
    }

    @Test func `a plane without a free number refuses before anything is done`() {
        let capacity = Plan.Capacity(services: 2, backends: 3, keys: 3, rules: 1)
        let rules = { (lengths: [Int]) in
            AccessList(
                Dictionary(
                    uniqueKeysWithValues: lengths.map {
                        (IPPrefix(of: .v4(IPv4Address(0)), length: $0), .deny)
                    }))
        }
        let refused = [
            [target(1, backends: [1, 2, 3])],
            [target(1, backends: [1]), target(1, ports: Ports(81), backends: [1])],
            [target(1, ports: Ports([80...83]), backends: [1])],
            [target(1, backends: [1], access: rules([8, 9]))],
        ]
        for targets in refused {
            #expect(throws: Plan.Exhausted.self) {
                try Plan(from: PlaneContents(), to: targets, others: .removed, capacity: capacity)
            }
        }
        let held = [
            target(1, ports: Ports([80...82]), backends: [1, 2], access: rules([8]))
        ]
        #expect(throws: Never.self) {
            try Plan(from: PlaneContents(), to: held, others: .removed, capacity: capacity)
        }
    }

    @Test func `a service that gets more ports stays the same service`() throws {
        var contents = PlaneContents()
        apply(
            try Plan(from: contents, to: [target(1, backends: [1, 2])], others: .removed),
            to: &contents)
        let more = target(1, ports: Ports([80...80, 8000...8100]), backends: [1, 2])
        let plan = try Plan(from: contents, to: [more], others: .removed)
        #expect(plan.steps.count == 1)
        guard case .setKeys(let keys, let entry)? = plan.steps.first else {
            Issue.record("\(plan.steps)")
            return
        }
        #expect(keys.count == 101)
        #expect(contents.services[entry.service] != nil)
    }

    @Test(arguments: [Forwarding.nat, .fullNAT])
    func `a backend's port that is the service's is none of its own`(mode: Forwarding) throws {
        let targets = { (port: UInt16?, ports: Ports) in
            [
                self.target(
                    VIP(.v4(IPv4Address(1))), ports, backends: [1], forwarding: mode, port: port)
            ]
        }
        var contents = PlaneContents()
        let first = try Plan(from: contents, to: targets(nil, Ports(80)), others: .removed)
        apply(first, to: &contents)
        #expect(
            try Plan(from: contents, to: targets(80, Ports(80)), others: .removed).steps == [])
        #expect(
            try Plan(from: contents, to: targets(81, Ports(80)), others: .removed).steps != [])
        // Of several ports it is one.
        let several = try Plan(
            from: contents, to: targets(80, Ports([80...81])), others: .removed)
        apply(several, to: &contents)
        #expect(contents.backends.values.map(\.port) == [80])
    }

    @Test func `what an interface is called changes nothing`() throws {
        let hop = NextHop(
            egress: Egress(index: 3, name: "eth1.5", address: MACAddress(1), mtu: 1500),
            neighbour: MACAddress(2), source: .v4(IPv4Address(9)))
        let targets = { (hop: NextHop) in
            [self.target(VIP(.v4(IPv4Address(1))), Ports(80), backends: [1], nextHop: hop)]
        }
        var contents = PlaneContents()
        apply(try Plan(from: contents, to: targets(hop), others: .removed), to: &contents)
        var other = hop
        other.egress.name = "eth1"
        #expect(try Plan(from: contents, to: targets(other), others: .removed).steps.isEmpty)
        other.egress.tags = [VLANTag(type: 0x8100, number: 5)]
        #expect(try Plan(from: contents, to: targets(other), others: .removed).steps.count == 1)
    }

    @Test(arguments: [
        (Forwarding.l2DSR, 0 as UInt32, nil as UInt16?, false), (.ipip, 0xFFFF, nil, true),
        (.gue, 0xFFFF, 7000, true),
    ])
    func `a tunnel's source is the one configured, and its host bits come from the hash`(
        forwarding: Forwarding, entropy: UInt32, port: UInt16?, isConfigured: Bool
    ) throws {
        let hop = NextHop(
            egress: Egress(index: 3, name: "eth1", address: MACAddress(1), mtu: 1500),
            neighbour: MACAddress(2), source: .v4(IPv4Address(9)))
        let base = IPAddress.v4(IPv4Address(0xAC10_0000))
        let tunnel = Tunnel(port: 7000, sources: [IPPrefix(of: base, length: 16)])
        var contents = PlaneContents()
        let target = target(
            VIP(.v4(IPv4Address(1))), Ports(80), backends: [1], forwarding: forwarding,
            tunnel: tunnel, nextHop: hop)
        apply(try Plan(from: contents, to: [target], others: .removed), to: &contents)
        let record = try #require(contents.backends.values.first)
        #expect(record.sourceEntropy == entropy)
        #expect(record.tunnelPort == port)
        #expect(record.nextHop?.source == (isConfigured ? base : hop.source))
    }
}
