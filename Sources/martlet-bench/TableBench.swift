import BPF
import Balancing
import CDatapath
import FoundationEssentials
import Packets
import XDPPlane

/// What tables and the sweep cost the controller, where no packet waits for it.
struct TableBench {
    let rounds: Int

    func measure() throws -> (times: [Report.Time], figures: [Report.Figure]) {
        var times: [Report.Time] = []
        for slots in [1 << 14, 1 << 16, 1 << 20] {
            for backends in [10, 100, 1000, 4000] {
                times.append(try build(slots: slots, backends: backends))
            }
        }
        let (writes, moved) = try measureWrites()
        let (sweeps, bytes) = try measureSweeps()
        times += writes + sweeps
        for services in [1, 1000] {
            times += try FailureBench(services: services).measure(rounds: rounds)
        }
        return (times, [moved, bytes])
    }

    /// The times of `rounds` runs of `body`, each after a `preparation` that does not count.
    private func time(
        _ what: String, after preparation: () throws -> Void = {}, _ body: () throws -> Void
    ) rethrows -> Report.Time {
        let times = try (0..<rounds).map { _ in
            try preparation()
            return try ContinuousClock().measure(body)
        }
        return Report.Time(what, times)
    }
}

// MARK: - Slot tables

extension TableBench {
    /// 1 to 16 for each, in an order that looks like none.
    private func members(_ count: Int) -> [SlotTable.Member] {
        Setup(family: .v4, forwarding: .ipip, backends: count).addresses.enumerated().map {
            SlotTable.Member(address: $1, weight: UInt16($0 * 7 % 16 + 1))
        }
    }

    private func build(slots: Int, backends: Int) throws -> Report.Time {
        let members = members(backends)
        return try time("table of \(slots) slots, \(backends) weighted backends") {
            let table = SlotTable(members: members, count: slots)
            try require(table.count == slots, "a table has all its slots")
        }
    }

    /// A table that is built becomes the kernel's; and a backend that fails disturbs no other.
    private func measureWrites() throws -> ([Report.Time], Report.Figure) {
        let count = 1 << 16
        var served = try ServedServices(count: 1, members: members(1000))
        try served.apply(served.targets(readiness: Array(repeating: SlotTable.ready, count: 1000)))
        let (service, slots) = try served.first
        try require(slots.count == count, "the service has its slots")
        var distance = 0
        var changes: [SlotChange] = []
        let write = try time("write \(count) slots, all changed") {
            distance += 1
            changes = slots.indices.map {
                SlotChange(slot: $0, to: slots[($0 + distance) % count])
            }
        } _: {
            try served.plane.apply(.writeSlots(service, changes))
        }
        var readiness = Array(repeating: SlotTable.ready, count: 1000)
        readiness[500] = 0
        let (before, after) = (
            served.base, served.base.falling(from: served.members, to: readiness)
        )
        let moved = (0..<count).filter { before[$0] != after[$0] && before[$0] != 500 }.count
        try require(moved == 0, "no slot moves between two that serve")
        return (
            [write],
            Report.Figure("slots moved between others when 1 of 1000 fails", Double(moved), "slots")
        )
    }
}

/// Services on ports of one VIP with the same backends, and the plane that has them.
private struct ServedServices {
    let plane: XDPPlane
    let members: [SlotTable.Member]
    let base: SlotTable
    private(set) var contents = PlaneContents()
    private let count: Int
    private let setup: Setup

    init(count: Int, members: [SlotTable.Member]) throws {
        plane = try XDPPlane(takingOver: PinDirectory("/sys/fs/bpf/martlet-no-such"))
        setup = Setup(family: .v4, forwarding: .ipip, backends: members.count)
        base = SlotTable(members: members, count: 1 << 16)
        self.members = members
        self.count = count
    }

    var first: (ServiceID, [Slot]) {
        get throws {
            guard let (id, service) = contents.services.min(by: { $0.key < $1.key }) else {
                throw Failure("find", "service", because: "there is none", cure: nil)
            }
            return (id, service.slots)
        }
    }

    /// As the controller has them: the base of each is known, and who serves is not.
    func targets(readiness: [UInt16]) -> [Target] {
        let backends = members.map { Target.Backend(address: $0.address, nextHop: setup.hop) }
        return (0..<count).map { number in
            Target(
                vip: VIP(setup.vip),
                keys: [ServiceKey(vip: setup.vip, port: UInt16(1 + number), transport: .tcp)],
                forwarding: setup.forwarding, backends: backends,
                slots: base.falling(from: members, to: readiness))
        }
    }

    func plan(_ targets: [Target]) throws -> Plan {
        try Plan(from: contents, to: targets, others: .removed)
    }

    func write(_ plan: Plan) throws {
        for step in plan.steps { try plane.apply(step) }
    }

    mutating func note(_ plan: Plan) {
        for step in plan.steps { contents.apply(step) }
    }

    mutating func apply(_ targets: [Target]) throws {
        let plan = try plan(targets)
        try write(plan)
        note(plan)
    }
}

// MARK: - The sweep

extension TableBench {
    private func measureSweeps() throws -> ([Report.Time], Report.Figure) {
        var served = try ServedServices(count: 1, members: members(100))
        try served.apply(served.targets(readiness: Array(repeating: SlotTable.ready, count: 100)))
        let words = try MappedArray<UInt64>(served.plane.tables.flows)
        let (service, slots) = try served.first
        let backends = served.contents.backends.keys.sorted()
        let orders = { (tracks: Bool) in
            SweepOrders(services: [
                service: SweepOrders.Service(tracks: tracks, limits: FlowLimits(), slots: slots)
            ])
        }
        var found = SweepReport()
        var times = [
            try time("sweep of an empty table of \(words.count)") {
                found = try served.plane.sweep(orders(true))
            }
        ]
        try require(found.entries == 0, "the table is empty")
        let count = fill(words, slots: slots.count, backends: backends)
        for tracks in [true, false] {
            let kind = tracks ? "that all have an entry" : "of which most are foreign to their slot"
            let rules = orders(tracks)
            times.append(
                try time("sweep of \(count) flows \(kind)") {
                    if !tracks { _ = fill(words, slots: slots.count, backends: backends) }
                } _: {
                    found = try served.plane.sweep(rules)
                })
            try require(found.entries + found.redundant == count, "every flow is met")
        }
        times.append(
            try time("forget 1 of 100 backends with \(count) flows") {
                _ = fill(words, slots: slots.count, backends: backends)
            } _: {
                try served.plane.apply(.forgetFlows(of: [backends[0]]))
            })
        let bytes = try Double(memory(of: served.plane.tables.flows.number)) / Double(count)
        return (times, Report.Figure("memory for each flow, at half load", bytes, "bytes"))
    }

    /// Half of the places, without order; how many those are.
    private func fill(
        _ words: borrowing MappedArray<UInt64>, slots: Int, backends: [BackendID]
    ) -> Int {
        var random = SplitMix(state: 1)
        let now = FlowEpoch.now
        var count = 0
        for index in 0..<words.count {
            let number = random.next()
            guard number & 1 == 0 else {
                words[index] = 0
                continue
            }
            count += 1
            words[index] =
                FlowEntry(
                    fingerprint: UInt32(number >> 46), epoch: now,
                    state: MARTLET_FLOW_ESTABLISHED, slot: Int(number >> 20) % slots,
                    backend: backends[Int(number >> 8 & 0xFFF) % backends.count]
                ).word
        }
        return count
    }
}

/// Bytes that a map takes in the kernel, as `/proc/self/fdinfo` has it.
private func memory(of map: Int32) throws -> Int {
    let text = try String(contentsOfFile: "/proc/self/fdinfo/\(map)", encoding: .utf8)
    let line = text.split(separator: "\n").first { $0.hasPrefix("memlock:") }
    return line.flatMap { $0.split(separator: "\t").last }.flatMap { Int($0) } ?? 0
}

/// What was measured must be what is said.
private func require(_ isSo: Bool, _ claim: String) throws {
    guard isSo else { throw Failure("measure", "tables", because: "not so: \(claim)", cure: nil) }
}

/// Random enough to have no order (Steele, Lea, Flood 2014), and the same each time.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= MARTLET_MIX_1
        var number = state
        number = (number ^ number >> 30) &* 0xbf58_476d_1ce4_e5b9
        number = (number ^ number >> 27) &* 0x94d0_49bb_1331_11eb
        return number ^ number >> 31
    }
}
