import Balancing
import Packets
import Testing

struct PlanTests {
    private static let slots = 64

    private func target(
        _ number: UInt32, port: UInt16, backends: [UInt32],
        serves: (UInt32) -> Bool = { _ in true },
        forwarding: Forwarding = .ipip, access: AccessList = AccessList()
    ) -> Target {
        let members = backends.map {
            SlotTable.Member(address: .v4(IPv4Address($0)), weight: 1)
        }
        let table = SlotTable(members: members, count: Self.slots)
            .falling(from: members, to: backends.map(serves))
        return Target(
            key: ServiceKey(vip: .v4(IPv4Address(number)), port: port, transport: .tcp),
            forwarding: forwarding, access: access,
            backends: members.map { Target.Backend(address: $0.address, nextHop: nil) },
            slots: table)
    }

    /// What the contents say of a service, in the target's own words.
    private func owners(_ contents: PlaneContents, _ key: ServiceKey) -> [IPAddress?]? {
        contents.services[key]?.slots.map { $0.flatMap { contents.backends[$0]?.address } }
    }

    private func owners(_ target: Target) -> [IPAddress?] {
        (0..<target.slots.count).map { target.slots[$0].map { target.backends[$0].address } }
    }

    /// Applies `plan` step by step; after each one every slot names a record of its service.
    private func apply(_ plan: Plan, to contents: inout PlaneContents) {
        for step in plan.steps {
            contents.apply(step)
            for service in contents.services.values {
                for case let owner? in service.slots {
                    #expect(contents.backends[owner]?.service == service.id, "after \(step)")
                }
            }
        }
    }

    private var someAccess: AccessList {
        IPPrefix("198.51.100.0/24").map { AccessList([$0: .deny]) } ?? AccessList()
    }

    @Test(arguments: 0..<30)
    func `whatever the plane holds, a plan brings it to the targets and leaves no hole`(
        seed: Int
    ) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        var contents = PlaneContents()
        for _ in 0..<6 {
            let targets = (1...3).filter { _ in Bool.random(using: &random) }.map { service in
                let backends = (1...6 as ClosedRange<UInt32>)
                    .filter { _ in Bool.random(using: &random) }
                let down = UInt32.random(in: 1...8, using: &random)
                return target(
                    UInt32(service), port: 80, backends: backends, serves: { $0 != down },
                    forwarding: Bool.random(using: &random) ? .ipip : .l2DSR,
                    access: Bool.random(using: &random) ? AccessList() : someAccess)
            }
            apply(try Plan(from: contents, to: targets, others: .removed), to: &contents)
            #expect(contents.services.count == targets.count)
            #expect(contents.backends.count == targets.reduce(0) { $0 + $1.backends.count })
            for target in targets {
                #expect(owners(contents, target.key) == owners(target))
                #expect(contents.services[target.key]?.access == target.access)
            }
            let again = try Plan(from: contents, to: targets, others: .removed)
            #expect(again.steps.isEmpty)
        }
    }

    @Test(arguments: [[1, 2], [2, 3], [3, 1], [1], [1, 2, 3]] as [[UInt32]])
    func `no slot names a backend without a next hop, also while that comes or goes`(
        reachable: [UInt32]
    ) throws {
        let hop = NextHop(
            egress: Egress(index: 2, name: "eth1", address: MACAddress(1), mtu: 1500),
            neighbour: MACAddress(2), source: .v4(IPv4Address(9)))
        func targetReaching(_ backends: [UInt32]) -> Target {
            var target = target(1, port: 80, backends: [1, 2, 3], serves: backends.contains)
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
                for case let owner? in contents.services.values.flatMap(\.slots) {
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
                from: contents,
                to: [target(1, port: 80, backends: [1]), target(2, port: 80, backends: [2])],
                others: .removed), to: &contents)
        let plan = try Plan(
            from: contents, to: [target(1, port: 80, backends: [1, 3])], others: .kept)
        apply(plan, to: &contents)
        #expect(contents.services.count == 2)
    }

    @Test func `a plane without a free number refuses before anything is done`() {
        let capacity = Plan.Capacity(services: 2, backends: 3)
        #expect(throws: Plan.Exhausted.self) {
            try Plan(
                from: PlaneContents(), to: [target(1, port: 80, backends: [1, 2, 3])],
                others: .removed, capacity: capacity)
        }
        #expect(throws: Plan.Exhausted.self) {
            try Plan(
                from: PlaneContents(),
                to: [target(1, port: 80, backends: [1]), target(1, port: 81, backends: [1])],
                others: .removed, capacity: capacity)
        }
    }
}
