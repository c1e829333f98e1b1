import BPF
package import Balancing
import CDatapath

/// Words that others change meanwhile: a table of flows.
package protocol SharedWords: ~Copyable {
    var count: Int { get }
    /// The word at `index`, read at once.
    subscript(index: Int) -> UInt64 { get }
    /// Puts `new` in the place of `old`, at once; false, and nothing changes, if it has gone.
    func replace(_ old: UInt64, with new: UInt64, at index: Int) -> Bool
}

extension MappedArray: SharedWords where Word == UInt64 {}

/// One way through all recorded flows: removes those that nobody needs any more, and counts the
/// others.
///
/// An entry is removed by a compare-and-swap of the word that was read. Where a packet was faster,
/// the entry is judged again, as it is now.
package struct FlowSweep: ~Copyable {
    private let rules: Rules
    private let now: FlowEpoch
    /// Flows that stay: for each backend one number for each state.
    private var flows: [UInt32]
    /// Active ones that were removed, by backend: the program does not know yet that they are gone.
    private var ended: [UInt32]
    /// Slots with a foreign entry.
    private var foreign: SlotBits
    private var report = SweepReport()

    /// - Parameters:
    ///   - owners: For each backend's number the number of its service; 0: the record is free.
    package init(_ orders: SweepOrders, owners: [UInt32], now: FlowEpoch) {
        precondition(owners.count == MARTLET_BACKEND_LIMIT.rawValue, "every number has an owner")
        rules = Rules(orders, owners: owners)
        self.now = now
        flows = Array(repeating: 0, count: owners.count * statesOfBackend)
        ended = Array(repeating: 0, count: owners.count)
        foreign = SlotBits(sets: rules.ids.count)
    }

    /// Goes through the first `count` words of the flow table.
    package mutating func run(over words: borrowing some SharedWords & ~Copyable, count: Int) {
        report.capacity += count
        for first in stride(from: 0, to: count, by: UInt64.bitWidth) {
            var taken = takenPlaces(in: words, first..<min(first + UInt64.bitWidth, count))
            while taken != 0 {
                visit(first + taken.trailingZeroBitCount, in: words)
                taken &= taken - 1
            }
        }
    }

    @inline(__always)
    private mutating func visit(_ index: Int, in words: borrowing some SharedWords & ~Copyable) {
        while true {
            let entry = FlowEntry(word: words[index])
            if entry.word == 0 { return }
            let fate = rules.fate(of: entry, now)
            switch fate {
            case .stays, .isForeign:
                keep(entry, isForeign: fate == .isForeign)
                return
            case .isExpired, .isRedundant, .isLost:
                guard words.replace(entry.word, with: 0, at: index) else { continue }
                remove(entry, because: fate)
                return
            }
        }
    }

    @inline(__always)
    private mutating func keep(_ entry: FlowEntry, isForeign: Bool) {
        report.entries += 1
        flows[entry.backend * statesOfBackend + Int(entry.state.rawValue)] += 1
        guard isForeign else { return }
        let place = rules.place(of: entry.backend)
        foreign.insert(entry.slot, of: rules.slotCount(place), into: place)
    }

    private mutating func remove(_ entry: FlowEntry, because fate: Fate) {
        switch fate {
        case .isExpired: report.expired += 1
        case .isRedundant: report.redundant += 1
        default: report.lost += 1
        }
        if isActive(entry.state) { ended[entry.backend] += 1 }
    }
}

/// A bit for each of up to 64 places: whether there is something. Without a branch for each, which
/// nobody could foretell where half of the places are taken.
func takenPlaces(
    in words: borrowing some SharedWords & ~Copyable, _ places: Range<Int>
) -> UInt64 {
    var taken: UInt64 = 0
    for index in places {
        taken |= UInt64(truncatingIfNeeded: words[index] == 0 ? 0 : 1) << UInt64(index & 63)
    }
    return taken
}

// MARK: - Results

extension FlowSweep {
    /// Counts the flows of `full-nat` in `words`, a NAT table; `now` as ``coarseTime()``.
    ///
    /// - Parameters:
    ///   - ends: Of each backend's number the end that its flows have.
    package mutating func count(
        natFlows words: borrowing some SharedWords & ~Copyable, of ends: [NATEnd?], now: UInt32
    ) {
        for bucket in 0..<words.count / wordsOfNATBucket {
            for lane in 0..<Int(MARTLET_NAT_LANES.rawValue) {
                let first = bucket * wordsOfNATBucket
                guard let state = flowState(of: words[first + lane], now) else { continue }
                let flow = NATFlowWords(in: words, at: first + (1 + lane) * wordsOfNATFlow)
                // A backend that has become another one has none of its flows any more.
                guard flow.backend < ends.count, ends[flow.backend]?.has(flow) == true
                else { continue }
                flows[flow.backend * statesOfBackend + Int(state.rawValue)] += 1
            }
        }
    }

    /// Active flows of a backend that stay.
    package func active(of backend: Int) -> UInt32 {
        number(MARTLET_FLOW_HALF_OPEN, of: backend)
            + number(MARTLET_FLOW_ESTABLISHED, of: backend)
            + number(MARTLET_FLOW_DATAGRAMS, of: backend)
    }

    /// Active flows of a backend that were removed.
    package func ended(of backend: Int) -> UInt32 { ended[backend] }

    /// What was found until now.
    package func result() -> SweepReport {
        var result = report
        for backend in ended.indices {
            var flows = SweepReport.Flows()
            flows.halfOpen = Int(number(MARTLET_FLOW_HALF_OPEN, of: backend))
            flows.established = Int(number(MARTLET_FLOW_ESTABLISHED, of: backend))
            flows.closing = Int(number(MARTLET_FLOW_CLOSING, of: backend))
            flows.datagrams = Int(number(MARTLET_FLOW_DATAGRAMS, of: backend))
            result.affinities += Int(number(MARTLET_FLOW_AFFINITY, of: backend))
            if flows.all > 0 { result.flows[BackendID(UInt16(backend))] = flows }
        }
        for (place, id) in rules.ids.enumerated() {
            result.foreign[id] = foreign.set(place, of: rules.slotCount(place))
        }
        return result
    }

    private func number(_ state: martlet_flow_state, of backend: Int) -> UInt32 {
        flows[backend * statesOfBackend + Int(state.rawValue)]
    }
}

private func isKnown(_ state: martlet_flow_state) -> Bool {
    state != MARTLET_FLOW_FREE && state.rawValue < MARTLET_FLOW_STATE_COUNT.rawValue
}

/// Whether such flows load their backend.
func isActive(_ state: martlet_flow_state) -> Bool {
    state == MARTLET_FLOW_HALF_OPEN || state == MARTLET_FLOW_ESTABLISHED
        || state == MARTLET_FLOW_DATAGRAMS
}

/// As many as three bits can name, so that no entry, whatever it says, is out of bounds.
private let statesOfBackend = 8

/// Sets of slots, in one array: a set of its own for each would be asked for each slot whether
/// somebody else has it, too.
private struct SlotBits {
    private var words: [UInt64] = []
    /// Where each set begins; -1: it is empty.
    private var starts: [Int]

    init(sets: Int) { starts = Array(repeating: -1, count: sets) }

    @inline(__always)
    mutating func insert(_ slot: Int, of count: Int, into set: Int) {
        if starts[set] < 0 {
            starts[set] = words.count
            words += Array(repeating: 0, count: (count + 63) / 64)
        }
        words[starts[set] + slot >> 6] |= 1 << UInt64(slot & 63)
    }

    /// Nil if it is empty.
    func set(_ number: Int, of count: Int) -> SlotSet? {
        guard starts[number] >= 0 else { return nil }
        var set = SlotSet(count: count)
        for slot in 0..<count
        where words[starts[number] + slot >> 6] & 1 << UInt64(slot & 63) != 0 {
            set.insert(slot)
        }
        return set
    }
}

// MARK: - Rules

/// What becomes of an entry.
private enum Fate {
    case stays
    /// It stays, and names another backend than the owner of its slot.
    case isForeign
    /// There was no packet for too long.
    case isExpired
    /// Without it the flow goes to the same backend.
    case isRedundant
    /// Its backend can't have a flow.
    case isLost
}

/// The orders, so laid out that an entry is judged with few look-ups.
private struct Rules {
    struct Service {
        let tracks: Bool
        let slotCount: Int
        /// The greatest age of an entry, by its state.
        let greatestAges: SIMD8<UInt16>
    }

    let ids: [ServiceID]
    private let services: [Service]
    /// Of each service: not in ``Service``, whose copies would count references.
    private let slots: [[Slot]]
    /// For each backend's number where its service is in `services`.
    private let places: [Int32]
    /// Of backends that can't have a flow.
    private static let gone: Int32 = -1
    /// Of backends whose flows are counted only.
    private static let free: Int32 = -2

    init(_ orders: SweepOrders, owners: [UInt32]) {
        let ordered = orders.services.sorted { $0.key < $1.key }
        ids = ordered.map(\.key)
        services = ordered.map {
            Service(
                tracks: $0.value.tracks, slotCount: $0.value.slots.count,
                greatestAges: greatestAges($0.value.limits))
        }
        slots = ordered.map(\.value.slots)
        var placeOfService: [UInt32: Int32] = [:]
        for (place, id) in ids.enumerated() { placeOfService[id.number] = Int32(place) }
        var places = owners.map { $0 == 0 ? Self.gone : placeOfService[$0] ?? Self.free }
        for backend in orders.lost where Int(backend.number) < places.count {
            places[Int(backend.number)] = Self.gone
        }
        self.places = places
    }

    func fate(of entry: FlowEntry, _ now: FlowEpoch) -> Fate {
        let state = entry.state
        guard isKnown(state) else { return .isLost }
        let place = places[entry.backend]
        guard place >= 0 else { return place == Self.free ? .stays : .isLost }
        let service = services[Int(place)]
        guard entry.slot < service.slotCount else { return .isLost }
        if entry.epoch.age(at: now) > service.greatestAges[Int(state.rawValue)] {
            return .isExpired
        }
        // A client's affinity is no flow: it goes nowhere by itself.
        if service.tracks || state == MARTLET_FLOW_AFFINITY { return .stays }
        return fate(of: entry, slot: slots[Int(place)][entry.slot])
    }

    private func fate(of entry: FlowEntry, slot: Slot) -> Fate {
        let (backend, number) = (entry.backend, UInt32(MARTLET_SLOT_OWNER.rawValue))
        let owner = Int(slot.word & number)
        let former = Int(slot.word >> UInt32(MARTLET_SLOT_FORMER_SHIFT.rawValue) & number)
        if owner == backend { return former == 0 || former == owner ? .isRedundant : .stays }
        // Another SYN of a half-open flow would go to the owner, not to the fallback. And where
        // flows are pinned, the fallback will be another one soon.
        let needsEntry = entry.state == MARTLET_FLOW_HALF_OPEN || slot.pins
        return former == backend && !needsEntry ? .isRedundant : .isForeign
    }

    /// Of a backend whose service is in the orders.
    func place(of backend: Int) -> Int { Int(places[backend]) }

    func slotCount(_ place: Int) -> Int { services[place].slotCount }
}

/// By state.
private func greatestAges(_ limits: FlowLimits) -> SIMD8<UInt16> {
    var ages = SIMD8<UInt16>()
    for (state, limit) in [
        (MARTLET_FLOW_HALF_OPEN, limits.halfOpen), (MARTLET_FLOW_ESTABLISHED, limits.established),
        (MARTLET_FLOW_CLOSING, limits.closing), (MARTLET_FLOW_DATAGRAMS, limits.datagrams),
        (MARTLET_FLOW_AFFINITY, limits.affinity),
    ] {
        ages[Int(state.rawValue)] = FlowEpoch.greatestAge(within: limit)
    }
    return ages
}
