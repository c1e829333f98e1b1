import Balancing
import Packets
import Testing

/// Plans of one service, with the flows that it has meanwhile.
struct PlanPhasesTests {
    static let slots = 64

    /// What is said of a backend for the time being.
    struct Member {
        var address: UInt32
        var weight: UInt16 = 1
        var readiness: UInt16 = SlotTable.ready
        var isLost = false
        var load = PlaneContents.Load()
    }

    static func target(
        _ members: [Member], _ scheduler: Scheduler = .maglev, tracks: Bool = false,
        forwarding: Forwarding = .ipip
    ) -> Target {
        let known = members.map {
            SlotTable.Member(address: .v4(IPv4Address($0.address)), weight: $0.weight)
        }
        let (table, length) = SlotTable(members: known, count: slots)
            .arranged(for: scheduler, known, members.map(\.readiness))
        let vip = VIP(.v4(IPv4Address(0xCB00_7100)))
        return Target(
            vip: vip,
            keys: Frontend(vip: vip.prefix, ports: Ports(80), transport: .tcp).keys,
            forwarding: forwarding,
            selection: Selection(scheduler: scheduler, tracks: tracks || scheduler != .maglev),
            backends: zip(known, members).map {
                Target.Backend(
                    address: $0.address, nextHop: nil, isLost: $1.isLost, load: $1.load)
            },
            slots: table, turnLength: length)
    }

    static func plan(
        _ contents: PlaneContents, _ members: [Member], _ scheduler: Scheduler = .maglev,
        tracks: Bool = false, forwarding: Forwarding = .ipip
    ) throws -> Plan {
        let target = target(members, scheduler, tracks: tracks, forwarding: forwarding)
        return try Plan(from: contents, to: [target], others: .removed)
    }

    private func applied(_ plan: Plan, to contents: PlaneContents) -> PlaneContents {
        plan.steps.reduce(into: contents) { $0.apply($1) }
    }

    private func phases(_ contents: PlaneContents) -> [Slot.Phase: Int] {
        let slots = contents.services.values.flatMap(\.slots)
        return slots.reduce(into: [:]) { $0[$1.phase, default: 0] += 1 }
    }

    @Test func `a new service begins settled, and a new backend moves only what it gets`() throws {
        let first = [Member(address: 1), Member(address: 2)]
        let before = applied(try Self.plan(PlaneContents(), first), to: PlaneContents())
        #expect(phases(before) == [.settled: Self.slots])
        let after = applied(
            try Self.plan(before, first + [Member(address: 3)]), to: before)
        let joined = try #require(after.backends.keys.max())
        for slot in after.services.values.flatMap(\.slots) {
            #expect((slot.owner == joined) == (slot.phase == .moving))
        }
    }

    @Test func `a drained backend stays the former owner, a lost one does not`() throws {
        var members = [Member(address: 1), Member(address: 2)]
        let before = applied(try Self.plan(PlaneContents(), members), to: PlaneContents())
        let number = try #require(before.backends.first { $0.value.address.number == 2 }).key
        members[1].readiness = 0
        members[1].load.isClosed = true
        let drained = applied(try Self.plan(before, members), to: before)
        #expect(drained.backends[number]?.load.isClosed == true)
        #expect(drained.services.values.flatMap(\.slots).contains { $0.former == number })
        members[1].isLost = true
        for start in [before, drained] {
            let lost = applied(try Self.plan(start, members), to: start)
            #expect(lost.backends[number] != nil)
            #expect(!lost.services.values.contains { $0.named.contains(number) })
        }
        // What is not listed any more goes, and its flows with it.
        let steps = try Self.plan(drained, [members[0]]).steps
        let last = steps.suffix(2)
        #expect(Array(last) == [.forgetFlows(of: [number]), .removeBackend(number)])
    }

    @Test func `the slots of full-nat are settled: every flow of it says whose it is`() throws {
        let members = (1...3).map { Member(address: $0) }
        let before = applied(
            try Self.plan(PlaneContents(), members, forwarding: .fullNAT), to: PlaneContents())
        let after = applied(
            try Self.plan(before, Array(members.dropFirst()), forwarding: .fullNAT), to: before)
        #expect(phases(after) == [.settled: Self.slots])
        #expect(after.backends.count == 2)
    }

    @Test func `the order of the file changes nothing`() throws {
        let members = (1...5).map { Member(address: $0, weight: UInt16($0)) }
        for scheduler in Scheduler.allCases {
            let contents = applied(
                try Self.plan(PlaneContents(), members, scheduler), to: PlaneContents())
            let steps = try Self.plan(contents, members.reversed(), scheduler).steps
            #expect(steps == [])
        }
    }

    @Test func `slots look before a service ceases to have an entry for every flow`() throws {
        let members = (1...3).map { Member(address: $0) }
        let contents = applied(
            try Self.plan(PlaneContents(), members, tracks: true), to: PlaneContents())
        #expect(phases(contents) == [.settled: Self.slots])
        var during = contents
        for step in try Self.plan(contents, members).steps {
            during.apply(step)
            let tracks = during.keys.values.contains(where: \.selection.tracks)
            #expect(tracks || phases(during) == [.pinned: Self.slots], "after \(step)")
        }
        #expect(during.keys.values.contains { !$0.selection.tracks })
        #expect(try Self.plan(during, members).steps == [])
        // And nothing of the kind when it begins to.
        let back = try Self.plan(contents, members).steps
        #expect(back.contains { if case .writeSlots = $0 { true } else { false } })
        let settled = during.advance(ServiceID(1)) { $0.settled() }
        for step in settled { during.apply(step) }
        let steps = try Self.plan(during, members, tracks: true).steps
        #expect(!steps.contains { if case .writeSlots = $0 { true } else { false } })
    }

    @Test func `only what a backend can bear is written when nothing else changes`() throws {
        var members = [Member(address: 1), Member(address: 2)]
        let contents = applied(
            try Self.plan(PlaneContents(), members, .leastConnections), to: PlaneContents())
        members[0].load = PlaneContents.Load(limit: 100, weight: 3)
        let steps = try Self.plan(contents, members, .leastConnections).steps
        let number = try #require(contents.backends.first { $0.value.address.number == 1 }).key
        #expect(steps == [.setLoad(number, PlaneContents.Load(limit: 100, weight: 3))])
        // A plane does not tell these two schedulers apart.
        #expect(try Self.plan(contents, members, .responseTime).steps == steps)
    }
}

extension IPAddress {
    fileprivate var number: UInt32? {
        guard case .v4(let address) = self else { return nil }
        return address.number
    }
}

// MARK: - Random changes, and flows

/// One service in the data path: life-of-a-packet.md §6.
private struct Traffic {
    struct Flow {
        let slot: Int
        let backend: BackendID
        let address: UInt32
        var entry: BackendID?
    }

    var contents = PlaneContents()
    var flows: [Flow] = []

    private var service: (entry: PlaneContents.Entry, held: PlaneContents.Service)? {
        guard let entry = contents.keys.values.first, let held = contents.services[entry.service]
        else { return nil }
        return (entry, held)
    }

    func destination(of flow: Flow) -> BackendID? {
        guard let service else { return nil }
        let slot = service.held.slots[flow.slot]
        let looks = slot.looks || service.entry.selection.tracks
        return (looks ? flow.entry : nil) ?? (slot.looks ? slot.fallback : slot.owner)
    }

    mutating func open(_ random: inout SeededGenerator) {
        guard let service else { return }
        let slots = service.held.slots
        let number = Int.random(in: slots.indices, using: &random)
        let slot = slots[number]
        let tracks = service.entry.selection.tracks
        let length = service.held.turnLength == 0 ? slots.count : service.held.turnLength
        let chosen: BackendID? =
            switch service.entry.selection.scheduler {
            case .maglev: slot.owner
            case .roundRobin: slots[Int.random(in: 0..<length, using: &random)].owner
            case .leastConnections, .responseTime: slots.randomElement(using: &random)?.owner
            }
        guard let chosen else { return }
        let fallback = slot.looks ? slot.fallback : slot.owner
        let hasRoom = Int.random(in: 0..<8, using: &random) > 0
        let makesEntry = slot.looks ? chosen != fallback : false
        if tracks || makesEntry {
            if hasRoom {
                add(chosen, number, entry: chosen)
            } else if let fallback {
                add(fallback, number, entry: nil)
            }
        } else {
            add(chosen, number, entry: nil)
        }
    }

    private mutating func add(_ backend: BackendID, _ slot: Int, entry: BackendID?) {
        guard let address = contents.backends[backend]?.address.number else { return }
        flows.append(Flow(slot: slot, backend: backend, address: address, entry: entry))
    }

    /// What the controller does in the course of time. Everyone sends something in every phase.
    mutating func goOn(_ random: inout SeededGenerator) {
        guard let service else { return }
        let some = service.held.slots.indices.filter { _ in Bool.random(using: &random) }
        let steps =
            switch Int.random(in: 0..<3, using: &random) {
            case 0: contents.advance(service.entry.service, some) { $0.pinning() }
            case 1: pinned(service, some)
            default: swept(service, some)
            }
        for step in steps { contents.apply(step) }
    }

    private mutating func pinned(
        _ service: (entry: PlaneContents.Entry, held: PlaneContents.Service), _ some: [Int]
    ) -> [Step] {
        for index in flows.indices where service.held.slots[flows[index].slot].pins {
            flows[index].entry = destination(of: flows[index])
        }
        return contents.advance(service.entry.service, some) { $0.pinned() }
    }

    private mutating func swept(
        _ service: (entry: PlaneContents.Entry, held: PlaneContents.Service), _ some: [Int]
    ) -> [Step] {
        var foreign = SlotSet(count: service.held.slots.count)
        for index in flows.indices {
            let slot = service.held.slots[flows[index].slot]
            guard let entry = flows[index].entry else { continue }
            if entry != slot.owner {
                foreign.insert(flows[index].slot)
            } else if slot.phase == .pinned, !service.entry.selection.tracks {
                flows[index].entry = nil
            }
        }
        return contents.advance(
            service.entry.service, some.filter { !foreign.contains($0) }
        ) { $0.settled() }
    }
}

extension PlanPhasesTests {
    private func randomMembers(_ random: inout SeededGenerator) -> [Member] {
        (1...6 as ClosedRange<UInt32>).compactMap { address -> Member? in
            var member = Member(
                address: address, weight: UInt16.random(in: 0...3, using: &random))
            member.load.limit = UInt32.random(in: 0...1, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0: return nil
            case 1:
                member.readiness = 0
                member.isLost = true
            case 2, 3:
                member.readiness = 0
                member.load.isClosed = true
            case 4: member.readiness = 128
            default: break
            }
            return member
        }
    }

    @Test(arguments: 0..<80)
    func `no step of a plan cuts a flow of a backend that is still there`(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        var traffic = Traffic()
        var scheduler = Scheduler.maglev
        var tracks = false
        for round in 0..<25 {
            if Int.random(in: 0..<4, using: &random) == 0 {
                scheduler = Scheduler.allCases.randomElement(using: &random) ?? .maglev
                tracks = Bool.random(using: &random)
            }
            let members = randomMembers(&random).shuffled(using: &random)
            let plan = try Self.plan(traffic.contents, members, scheduler, tracks: tracks)
            let living = Set(members.filter { !$0.isLost }.map(\.address))
            traffic.flows.removeAll { !living.contains($0.address) }
            let hadTurns = !traffic.contents.services.isEmpty && hasTurns(traffic.contents)
            for step in plan.steps {
                apply(step, to: &traffic)
                for flow in traffic.flows {
                    let isThere = traffic.destination(of: flow) == flow.backend
                    if !isThere {
                        Issue.record("round \(round), \(step): \(flow)")
                        return
                    }
                }
                if hadTurns, members.contains(where: { $0.weight > 0 && $0.readiness > 0 }) {
                    let stillHas = hasTurns(traffic.contents)
                    #expect(stillHas, "round \(round)")
                }
                if Bool.random(using: &random) { traffic.open(&random) }
                // By the old table to a backend that is over.
                traffic.flows.removeAll { !living.contains($0.address) }
            }
            check(traffic.contents, Self.target(members, scheduler, tracks: tracks))
            let again = try Self.plan(traffic.contents, members, scheduler, tracks: tracks)
            #expect(again.steps == [])
            for _ in 0..<30 { traffic.open(&random) }
            for _ in 0..<Int.random(in: 0..<4, using: &random) { traffic.goOn(&random) }
            for flow in traffic.flows { #expect(traffic.destination(of: flow) == flow.backend) }
            traffic.flows = traffic.flows.shuffled(using: &random).suffix(200)
        }
    }

    /// Whether every turn leads to a backend.
    private func hasTurns(_ contents: PlaneContents) -> Bool {
        contents.services.values.allSatisfy { service in
            let length = service.turnLength == 0 ? service.slots.count : service.turnLength
            return length <= service.slots.count
                && service.slots.prefix(length).allSatisfy { $0.owner != nil }
        }
    }

    private func apply(_ step: Step, to traffic: inout Traffic) {
        let contents = traffic.contents
        switch step {
        case .forgetFlows(let backends):
            #expect(contents.services.values.allSatisfy { $0.named.isDisjoint(with: backends) })
            for index in traffic.flows.indices {
                guard let entry = traffic.flows[index].entry, backends.contains(entry) else {
                    continue
                }
                traffic.flows[index].entry = nil
            }
        case .removeBackend(let number):
            #expect(!traffic.flows.contains { $0.entry == number || $0.backend == number })
        default: break
        }
        traffic.contents.apply(step)
        for (id, service) in traffic.contents.services {
            for number in service.named {
                #expect(traffic.contents.backends[number]?.service == id, "after \(step)")
            }
        }
    }

    private func check(_ contents: PlaneContents, _ target: Target) {
        #expect(contents.backends.count == target.backends.count)
        let loads = Dictionary(
            contents.backends.values.map { ($0.address, $0.load) }, uniquingKeysWith: { $1 })
        for backend in target.backends { #expect(loads[backend.address] == backend.load) }
        #expect(contents.services.values.map(\.turnLength) == [target.turnLength])
        #expect(contents.keys.values.map(\.selection) == [target.selection.held])
        let owners = contents.services.values.flatMap(\.slots).map {
            $0.owner.flatMap { contents.backends[$0]?.address }
        }
        #expect(
            owners
                == (0..<Self.slots).map { target.slots[$0].map { target.backends[$0].address } })
    }
}
