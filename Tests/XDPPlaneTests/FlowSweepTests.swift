import Balancing
import CDatapath
import Packets
import Testing

@testable import XDPPlane

/// A flow table, or a NAT table, of the test's own.
final class PlainWords: SharedWords {
    private(set) var words: [UInt64]
    /// What a packet does to the table between the reading of a word and its replacement.
    var meanwhile: ((Int) -> UInt64?)?

    init(_ words: [UInt64]) { self.words = words }

    convenience init(_ entries: [FlowEntry]) { self.init(entries.map(\.word)) }

    var count: Int { words.count }

    subscript(index: Int) -> UInt64 { words[index] }

    func replace(_ old: UInt64, with new: UInt64, at index: Int) -> Bool {
        if let changed = meanwhile?(index) { words[index] = changed }
        guard words[index] == old else { return false }
        words[index] = new
        return true
    }
}

/// The owners of all backends, most of which are free.
private func everyNumber(startingWith owners: [UInt32]) -> [UInt32] {
    owners + Array(repeating: 0, count: Int(MARTLET_BACKEND_LIMIT.rawValue) - owners.count)
}

/// What the sweep does with each entry, on a table in plain memory.
struct FlowSweepTests {
    private static let (a, b, c) = (BackendID(1), BackendID(2), BackendID(3))
    private static let web = ServiceID(7)
    private static let now = FlowEpoch(1000)
    private static let free = BackendID(9)
    /// Backends 1 to 3 are the service's, 4 is of another one, that has no orders; others are free.
    private static let owners: [UInt32] = everyNumber(startingWith: [0, 7, 7, 7, 8])

    private static func entry(
        _ backend: BackendID, slot: Int = 0, state: martlet_flow_state = MARTLET_FLOW_ESTABLISHED,
        age: UInt64 = 0
    ) -> FlowEntry {
        FlowEntry(
            fingerprint: 0x2_1234, epoch: FlowEpoch(5096 - age), state: state, slot: slot,
            backend: backend)
    }

    private static func orders(
        _ slots: [Slot], tracks: Bool = false, limits: FlowLimits = FlowLimits(),
        lost: Set<BackendID> = []
    ) -> SweepOrders {
        SweepOrders(
            services: [web: SweepOrders.Service(tracks: tracks, limits: limits, slots: slots)],
            lost: lost)
    }

    private static func sweep(_ words: PlainWords, _ orders: SweepOrders) -> SweepReport {
        var sweep = FlowSweep(orders, owners: owners, now: now)
        sweep.run(over: words, count: words.count)
        return sweep.result()
    }

    /// What becomes of a single entry: it stays, or why not.
    private static func fate(of entry: FlowEntry, _ orders: SweepOrders) -> String {
        let words = PlainWords([entry])
        let report = sweep(words, orders)
        let stays = words.words == [entry.word]
        #expect(stays == (report.entries == 1))
        #expect(report.capacity == 1)
        let reasons = [
            ("stays", report.entries), ("expired", report.expired),
            ("redundant", report.redundant), ("lost", report.lost),
        ]
        .filter { $0.1 == 1 }.map(\.0)
        let isForeign = report.foreign[web]?.contains(entry.slot) == true
        return reasons.joined(separator: ", ") + (isForeign ? ", foreign" : "")
    }

    @Test func `an entry has five fields in one word`() {
        let entry = FlowEntry(
            fingerprint: 0x3_FFFF, epoch: FlowEpoch(0xABC), state: MARTLET_FLOW_AFFINITY,
            slot: 0xFFFF, backend: BackendID(0x7FFF))
        #expect(entry.word == 0xFFFF_EAF2_FFFF_FFFF)
        #expect(entry.backend == 0x7FFF)
        #expect(entry.slot == 0xFFFF)
        #expect(entry.state == MARTLET_FLOW_AFFINITY)
        #expect(entry.epoch == FlowEpoch(0xABC))
    }

    // MARK: - Where the slot says the same, or another thing

    @Test(arguments: [
        (Slot(owner: a), "redundant"),
        (Slot(owner: a, former: a, looks: true), "redundant"),
        (Slot(owner: b, former: a, looks: true), "redundant"),
        // The flow was pinned just now, and the next phase relies on it.
        (Slot(owner: b, former: a, looks: true, pins: true), "stays, foreign"),
        (Slot(owner: nil, former: a, looks: true), "redundant"),
        (Slot(owner: a, former: b, looks: true), "stays"),
        (Slot(owner: a, former: b, looks: true, pins: true), "stays"),
        (Slot(owner: b), "stays, foreign"),
        (Slot(owner: b, former: c, looks: true), "stays, foreign"),
        (Slot(owner: nil), "stays, foreign"),
    ])
    func `an established flow needs an entry where its slot does not say the same`(
        slot: Slot, fate: String
    ) {
        #expect(Self.fate(of: Self.entry(Self.a), Self.orders([slot])) == fate)
    }

    @Test(arguments: [
        (Slot(owner: a), "redundant"),
        (Slot(owner: a, former: a, looks: true), "redundant"),
        (Slot(owner: b, former: a, looks: true), "stays, foreign"),
        (Slot(owner: a, former: b, looks: true), "stays"),
    ])
    func `a half-open flow needs one also where a SYN would go to another owner`(
        slot: Slot, fate: String
    ) {
        let entry = Self.entry(Self.a, state: MARTLET_FLOW_HALF_OPEN)
        #expect(Self.fate(of: entry, Self.orders([slot])) == fate)
    }

    @Test(arguments: [
        Slot(owner: a), Slot(owner: b), Slot(owner: a, former: a, looks: true),
        Slot(owner: b, former: a, looks: true),
    ])
    func `nothing is redundant or foreign where every flow has an entry`(slot: Slot) {
        let orders = Self.orders([slot], tracks: true)
        for state in [MARTLET_FLOW_ESTABLISHED, MARTLET_FLOW_HALF_OPEN, MARTLET_FLOW_DATAGRAMS] {
            #expect(Self.fate(of: Self.entry(Self.a, state: state), orders) == "stays")
        }
    }

    @Test(arguments: [Slot(owner: a), Slot(owner: b)])
    func `a client's affinity is no flow of any slot`(slot: Slot) {
        let entry = Self.entry(Self.a, state: MARTLET_FLOW_AFFINITY)
        #expect(Self.fate(of: entry, Self.orders([slot])) == "stays")
    }

    // MARK: - Age

    @Test(arguments: [
        (MARTLET_FLOW_HALF_OPEN, 64), (MARTLET_FLOW_ESTABLISHED, 7200), (MARTLET_FLOW_CLOSING, 240),
        (MARTLET_FLOW_DATAGRAMS, 300), (MARTLET_FLOW_AFFINITY, 3600),
    ])
    func `each state has a limit of its own, and nothing ends before it`(
        state: martlet_flow_state, seconds: Double
    ) {
        // An entry renewed at the end of its epoch is looked at when the last one begins.
        let greatest = UInt64((seconds / 8.589934592).rounded(.up))
        let orders = Self.orders([Slot(owner: Self.b)], tracks: true)
        let old = Self.entry(Self.a, state: state, age: greatest)
        let older = Self.entry(Self.a, state: state, age: greatest + 1)
        #expect(Self.fate(of: old, orders) == "stays")
        #expect(Self.fate(of: older, orders) == "expired")
    }

    @Test func `no limit is longer than eight hours or shorter than nothing`() {
        #expect(FlowEpoch.greatestAge(within: .seconds(8 * 3600)) == 3353)
        #expect(FlowEpoch.greatestAge(within: .seconds(9 * 3600)) == 3353)
        #expect(FlowEpoch.greatestAge(within: .seconds(-1)) == 0)
        #expect(FlowEpoch.greatestAge(within: .nanoseconds(1)) == 1)
        #expect(FlowEpoch.greatestAge(within: .nanoseconds(1 << 33)) == 1)
        #expect(FlowEpoch.greatestAge(within: .nanoseconds(1 << 33 + 1)) == 2)
    }

    @Test(
        arguments: [
            (5, 3, 2), (3, 3, 0), (0, 4095, 1), (2, 4090, 8), (100, 101, 0), (4095, 0, 0),
            (100, 102, 4094),
        ] as [(UInt64, UInt64, UInt16)])
    func `epochs go round, and the next one counts as this one`(
        now: UInt64, epoch: UInt64, age: UInt16
    ) {
        #expect(FlowEpoch(epoch).age(at: FlowEpoch(now)) == age)
        #expect(FlowEpoch(epoch + 4096 * 5).age(at: FlowEpoch(now + 4096 * 9)) == age)
    }

    // MARK: - Lost ones

    @Test func `what a lost backend had is removed, whoever has the slot`() {
        for slot in [Slot(owner: Self.a), Slot(owner: Self.b)] {
            let orders = Self.orders([slot], tracks: true, lost: [Self.a])
            #expect(Self.fate(of: Self.entry(Self.a), orders) == "lost")
            let affinity = Self.entry(Self.a, state: MARTLET_FLOW_AFFINITY)
            #expect(Self.fate(of: affinity, orders) == "lost")
            #expect(Self.fate(of: Self.entry(Self.b), orders) == "stays")
        }
    }

    @Test func `what no backend can have is removed`() {
        let orders = Self.orders([Slot(owner: Self.b)])
        #expect(Self.fate(of: Self.entry(Self.free), orders) == "lost")
        // Nobody has the number 0.
        #expect(Self.fate(of: FlowEntry(word: 2 << 31), orders) == "lost")
        // No entry is of a slot that there is not, or in a state that there is not.
        #expect(Self.fate(of: Self.entry(Self.a, slot: 1), orders) == "lost")
        for number: UInt32 in [0, 6, 7] {
            let entry = Self.entry(Self.a, state: martlet_flow_state(number))
            #expect(Self.fate(of: entry, orders) == "lost")
        }
    }

    @Test func `entries of other services are counted only`() {
        let other = BackendID(4)
        for age: UInt64 in [0, 4000] {
            let entry = Self.entry(other, slot: 60_000, age: age)
            #expect(Self.fate(of: entry, Self.orders([Slot(owner: Self.b)])) == "stays")
        }
        let orders = SweepOrders(services: [:], lost: [other])
        #expect(Self.fate(of: Self.entry(other), orders) == "lost")
    }

    // MARK: - Packets meanwhile

    @Test func `an entry that a packet renews just then stays, and counts as it is now`() {
        let old = Self.entry(Self.a, state: MARTLET_FLOW_HALF_OPEN, age: 100)
        let words = PlainWords([old])
        let renewed = Self.entry(Self.a, state: MARTLET_FLOW_ESTABLISHED)
        words.meanwhile = { _ in renewed.word }
        let report = Self.sweep(words, Self.orders([Slot(owner: Self.b)]))
        #expect(words.words == [renewed.word])
        #expect(report.expired == 0)
        #expect(report.flows[Self.a]?.halfOpen == 0)
        #expect(report.flows[Self.a]?.established == 1)
        #expect(report.foreign[Self.web]?.contains(0) == true)
    }

    @Test func `an entry of a lost backend goes even if a packet renews it just then`() {
        let words = PlainWords([Self.entry(Self.a, age: 1)])
        var renewals = [Self.entry(Self.a).word]
        words.meanwhile = { _ in renewals.popLast() }
        let orders = Self.orders([Slot(owner: Self.b)], lost: [Self.a])
        #expect(Self.sweep(words, orders).lost == 1)
        #expect(words.words == [0])
        words.meanwhile = nil
        let forgotten = PlainWords([Self.entry(Self.a, age: 1)])
        renewals = [Self.entry(Self.a).word]
        forgotten.meanwhile = { _ in renewals.popLast() }
        #expect(removeEntries(of: [Self.a], in: forgotten)[Int(Self.a.number)] == 1)
        #expect(forgotten.words == [0])
    }

    @Test func `an entry that a packet removes just then is nobody's`() {
        let words = PlainWords([Self.entry(Self.a, age: 4000)])
        words.meanwhile = { _ in 0 }
        var sweep = FlowSweep(
            Self.orders([Slot(owner: Self.b)]), owners: Self.owners, now: Self.now)
        sweep.run(over: words, count: 1)
        #expect(sweep.result() == Self.sweep(PlainWords([0 as UInt64]), SweepOrders()))
        #expect(sweep.ended(of: 1) == 0)
    }

    @Test func `an entry that another flow has just then is judged by itself`() {
        let words = PlainWords([Self.entry(Self.a, age: 4000)])
        let other = Self.entry(Self.b, slot: 1)
        words.meanwhile = { _ in other.word }
        let orders = Self.orders([Slot(owner: Self.a), Slot(owner: Self.b)])
        let report = Self.sweep(words, orders)
        // And the second time nothing is different.
        #expect(report.redundant == 1)
        #expect(report.expired == 0)
    }

    // MARK: - Sums

    @Test func `flows are counted by backend and state, free places by nobody`() {
        let states = [
            MARTLET_FLOW_HALF_OPEN, MARTLET_FLOW_ESTABLISHED, MARTLET_FLOW_CLOSING,
            MARTLET_FLOW_DATAGRAMS, MARTLET_FLOW_AFFINITY,
        ]
        var words: [UInt64] = []
        for (number, state) in states.enumerated() {
            for count in 0...number {
                words += [0, Self.entry(count % 2 == 0 ? Self.a : Self.b, state: state).word]
            }
        }
        let table = PlainWords(words)
        let report = Self.sweep(table, Self.orders([Slot(owner: Self.b)], tracks: true))
        #expect(report.entries == 15)
        #expect(report.capacity == 30)
        var (a, b) = (SweepReport.Flows(), SweepReport.Flows())
        (a.halfOpen, a.established, a.closing, a.datagrams) = (1, 1, 2, 2)
        (b.halfOpen, b.established, b.closing, b.datagrams) = (0, 1, 1, 2)
        #expect(report.flows == [Self.a: a, Self.b: b])
        #expect(report.foreign.isEmpty)
        #expect(table.words == words)
    }

    @Test func `only active flows that are removed end for their backend`() {
        let states = [
            MARTLET_FLOW_HALF_OPEN, MARTLET_FLOW_ESTABLISHED, MARTLET_FLOW_CLOSING,
            MARTLET_FLOW_DATAGRAMS, MARTLET_FLOW_AFFINITY,
        ]
        let entries = states.map { Self.entry(Self.a, state: $0) } + [Self.entry(Self.b)]
        var sweep = FlowSweep(
            Self.orders([Slot(owner: Self.b)], tracks: true, lost: [Self.a]), owners: Self.owners,
            now: Self.now)
        sweep.run(over: PlainWords(entries), count: entries.count)
        #expect(sweep.ended(of: 1) == 3)
        #expect(sweep.ended(of: 2) == 0)
        #expect(sweep.active(of: 1) == 0)
        #expect(sweep.active(of: 2) == 1)
        #expect(sweep.result().lost == 5)
    }

    @Test func `foreign are the slots of entries that stay, and no others`() throws {
        let slots = (0..<200).map { Slot(owner: $0 % 2 == 0 ? Self.a : Self.b) }
        let entries =
            [0, 2, 64, 130, 199].map { Self.entry(Self.b, slot: $0) }
            + [Self.entry(Self.b, slot: 70, age: 4000), Self.entry(Self.c, slot: 3)]
        let report = Self.sweep(PlainWords(entries), Self.orders(slots))
        let foreign = try #require(report.foreign[Self.web])
        #expect((0..<200).filter { foreign.contains($0) } == [0, 2, 3, 64, 130])
        #expect(report.redundant == 1)
        #expect(report.expired == 1)
    }

    @Test func `only so many words as are in use are looked at`() {
        let words = PlainWords([Self.entry(Self.a), Self.entry(Self.a)])
        var sweep = FlowSweep(SweepOrders(), owners: Self.owners, now: Self.now)
        sweep.run(over: words, count: 1)
        #expect(sweep.result().entries == 1)
        #expect(sweep.result().capacity == 1)
    }

    @Test func `forgotten backends have no entry left, the others all of theirs`() {
        let backends = [Self.a, Self.b, Self.c]
        let words = PlainWords((0..<300).map { Self.entry(backends[$0 % 3], slot: $0) })
        let ended = removeEntries(of: [Self.a, Self.c], in: words)
        #expect(words.words.filter { $0 != 0 }.count == 100)
        #expect(words.words.allSatisfy { $0 == 0 || FlowEntry(word: $0).backend == 2 })
        #expect(ended[1] == 100 && ended[2] == 0 && ended[3] == 100)
    }
}

/// The flows of `full-nat`, which are not in the flow table.
struct NATFlowCountTests {
    private static let now: UInt32 = 100_000
    private static let backend = IPAddress.v4(IPv4Address(0xC0A8_0102))

    /// A bucket with a flow in its third place.
    private static func table(
        _ state: martlet_nat_state, age: UInt32 = 0, backendID: UInt16 = 1,
        address: IPAddress = backend, port: UInt16 = 8080
    ) -> PlainWords {
        var words = [UInt64](repeating: 0, count: 2 * MemoryLayout<martlet_nat_bucket>.size / 8)
        let (bucket, lane) = (words.count / 2, 2)
        let time = UInt64(now &- age) & (1 << UInt64(MARTLET_NAT_TIME_BITS.rawValue) - 1)
        words[bucket + lane] =
            0xABCD << 32 | time << UInt64(MARTLET_NAT_TIME_SHIFT.rawValue)
            | UInt64(state.rawValue)
        var flow = martlet_nat_flow()
        flow.backend = martlet_address(mapping: address)
        flow.client_port = UInt16(40_000).bigEndian
        flow.vip_port = UInt16(80).bigEndian
        flow.backend_port = port.bigEndian
        flow.backend_id = backendID
        withUnsafeBytes(of: flow) { bytes in
            for word in 0..<bytes.count / 8 {
                words[bucket + 8 + lane * 8 + word] = bytes.loadUnaligned(
                    fromByteOffset: word * 8, as: UInt64.self)
            }
        }
        return PlainWords(words)
    }

    private static func flows(
        _ table: PlainWords, end: NATEnd? = NATEnd(backend, port: 8080)
    ) -> SweepReport.Flows? {
        var sweep = FlowSweep(
            SweepOrders(), owners: everyNumber(startingWith: [0, 7]), now: FlowEpoch(0))
        sweep.count(natFlows: table, of: [nil, end], now: now)
        let report = sweep.result()
        #expect(report.entries == 0 && report.capacity == 0)
        #expect(Int(sweep.active(of: 1)) == report.flows[BackendID(1)]?.active ?? 0)
        return report.flows[BackendID(1)]
    }

    @Test(
        arguments: [
            (MARTLET_NAT_OPENING, [1, 0, 0, 0], 30), (MARTLET_NAT_ANSWERED, [1, 0, 0, 0], 60),
            (MARTLET_NAT_ESTABLISHED, [0, 1, 0, 0], 7440),
            (MARTLET_NAT_CLOSING, [0, 0, 1, 0], 240),
            (MARTLET_NAT_ASKING, [0, 0, 0, 1], 300), (MARTLET_NAT_TALKING, [0, 0, 0, 1], 300),
        ] as [(martlet_nat_state, [Int], UInt32)])
    func `a flow counts as what it is until it has been idle for too long`(
        state: martlet_nat_state, counts: [Int], limit: UInt32
    ) {
        for age in [0, limit] {
            let flows = Self.flows(Self.table(state, age: age))
            let all = flows.map { [$0.halfOpen, $0.established, $0.closing, $0.datagrams] }
            #expect(all == counts)
        }
        #expect(Self.flows(Self.table(state, age: limit + 1)) == nil)
    }

    @Test func `a place that is free, or being filled, has no flow`() {
        #expect(Self.flows(Self.table(MARTLET_NAT_FREE)) == nil)
        #expect(Self.flows(Self.table(MARTLET_NAT_MAKING)) == nil)
    }

    @Test func `a backend has only the flows that go to its own address and port`() throws {
        let state = MARTLET_NAT_ESTABLISHED
        let other = IPAddress.v4(IPv4Address(0xC0A8_0103))
        let six = IPAddress.v6(IPv6Address(0x2001_0db8 << 96 | 2))
        #expect(Self.flows(Self.table(state, address: other)) == nil)
        #expect(Self.flows(Self.table(state, port: 8081)) == nil)
        #expect(Self.flows(Self.table(state), end: nil) == nil)
        #expect(Self.flows(Self.table(state, backendID: 2)) == nil)
        #expect(Self.flows(Self.table(state, address: six), end: NATEnd(six, port: 8080)) != nil)
        // A backend without a port of its own takes the VIP's.
        let same = NATEnd(Self.backend, port: nil)
        #expect(Self.flows(Self.table(state, port: 80), end: same) != nil)
        #expect(Self.flows(Self.table(state, port: 8080), end: same) == nil)
    }
}
