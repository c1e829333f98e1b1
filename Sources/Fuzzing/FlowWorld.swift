import BPF
import CDatapath
import Model
import ModelMaps
import Packets
import SeededRandom
import XDPPlane

// Random flow tables, and what new flows are chosen by: docs/life-of-a-packet.md §6.

extension World {
    mutating func addFlows(_ random: inout Random) {
        tables.flowMask = random.pick([0, 0, 1, 3, 15, 63])
        let areLarge = random.once(in: 3)
        for id in tables.backends.keys.sorted() {
            tables.loads[id] = load(isLarge: areLarge && random.once(in: 2), &random)
        }
        for service in tables.services.values.sorted(by: { $0.id < $1.id }) {
            let slots = Int(service.slotMask) + 1
            tables.turns[service.id] = .init(
                taken: random.once(in: 3) ? random.next() : UInt64(random.number(0...100)),
                length: UInt32(random.once(in: 3) ? 0 : random.number(1...min(slots, 48))))
        }
        let hotServices = (0..<3).compactMap { _ in serviceWithBackends(&random) }
        if !hotServices.isEmpty {
            hotFlows = (0..<48).map { _ in flow(to: random.pick(hotServices).key, &random) }
        }
        for _ in 0..<16 * Int(tables.flowMask + 1) { addEntry(&random) }
    }

    /// Services with more slots keep theirs: to write them all takes too long.
    static let sweptSlots = 64

    private func load(isLarge: Bool, _ random: inout Random) -> Model.Tables.Load {
        // Up to any power of two: bounds are among them.
        func large(_ random: inout Random) -> UInt32 {
            UInt32(truncatingIfNeeded: random.next()) >> UInt32(random.number(0...12))
        }
        return .init(
            flows: isLarge ? large(&random) : UInt32(random.number(0...6)),
            limit: random.pick([0, 0, 0, 3, 8, 40]),
            latency: isLarge ? large(&random) : random.pick([0, 1, 1, 2, 500]),
            weight: isLarge ? random.number16() : random.pick([0, 1, 1, 2, 10]),
            isClosed: random.once(in: 6), isLost: random.once(in: 12))
    }

    /// What a slot may hold: settled, or anything that a change, or two, may leave. Some services
    /// have many slots that are nobody's.
    static func slotWord(
        in service: UInt32, of backends: [UInt32], _ random: inout Random
    ) -> UInt32 {
        let flags: [UInt32] = [0, 1 << 15, 1 << 15, 1 << 15 | 1 << 31, 1 << 31]
        let isNobodys = service % 4 == 0 ? !random.once(in: 20) : random.once(in: 16)
        let owner = isNobodys ? 0 : random.pick(backends)
        let former = random.pick([0, owner, random.pick(backends), random.pick(backends)])
        return random.once(in: 3) ? owner : owner | former << 16 | random.pick(flags)
    }

    private typealias Keyed = (key: Model.Tables.ServiceKey, value: Model.Tables.Service)

    private func serviceWithBackends(_ random: inout Random) -> Keyed? {
        let used = Set(tables.backends.values.map(\.service))
        let all = tables.services.filter { used.contains($0.value.id) }
            .sorted { $0.value.id < $1.value.id }
        return all.isEmpty ? nil : random.pick(all)
    }

    /// One whose packets come.
    private func flow(to key: Model.Tables.ServiceKey, _ random: inout Random) -> Flow {
        Flow(
            source: random.pick(
                key.address.family == .v4 ? Places.clients4 : Places.clients6),
            destination: key.address, sourcePort: random.pick(Places.clientPorts),
            destinationPort: key.port == 0 ? random.pick(Places.ports) : key.port,
            transport: key.transport)
    }

    /// One that packets find, or almost.
    private mutating func addEntry(_ random: inout Random) {
        guard let (key, service) = serviceWithBackends(&random) else { return }
        let hot = hotFlows.filter {
            $0.destination == key.address && $0.transport == key.transport
                && (key.port == 0 || $0.destinationPort == key.port)
        }
        let flow = hot.isEmpty || random.once(in: 2) ? flow(to: key, &random) : random.pick(hot)
        var client = flow
        client.sourcePort = 0
        let hash = flowHash(of: flow, key: tables.hashKey)
        let clientHash = flowHash(of: client, key: tables.hashKey)
        let isAffinity = random.once(in: 5)
        let slotHash = service.hasClientAffinity ? clientHash : hash
        let places = FlowPlaces(hash: isAffinity ? clientHash : hash, mask: tables.flowMask)
        let own = tables.backends.filter { $0.value.service == service.id }.keys.sorted()
        let all = tables.backends.keys.sorted()
        guard !all.isEmpty else { return }
        let place = random.pick(places.all)
        let entry = FlowEntry(
            backend: random.pick(own.isEmpty || random.once(in: 10) ? all : own),
            slot: random.once(in: 12)
                ? 0 : UInt32(truncatingIfNeeded: slotHash) & service.slotMask,
            state: isAffinity
                ? MARTLET_FLOW_AFFINITY
                : random.pick([
                    MARTLET_FLOW_HALF_OPEN, MARTLET_FLOW_ESTABLISHED, MARTLET_FLOW_CLOSING,
                    flow.transport == 17 ? MARTLET_FLOW_DATAGRAMS : MARTLET_FLOW_ESTABLISHED,
                    random.pick([MARTLET_FLOW_DATAGRAMS, MARTLET_FLOW_AFFINITY]),
                ]),
            epoch: UInt32(random.number(0...4095)),
            fingerprint: random.once(in: 12) ? UInt32(random.number(0...9)) : places.fingerprint)
        tables.flows[place.bucket, default: Array(repeating: 0, count: 8)][place.lane] = entry.word
    }
}

// MARK: - The controller's part

extension Model.Tables {
    /// Makes room and moves slots, as a controller might meanwhile.
    mutating func sweep(_ random: inout Random) {
        isFrozen = random.once(in: 8)
        for bucket in flows.keys.sorted() {
            for lane in 0..<8 where random.once(in: 2) { flows[bucket]?[lane] = 0 }
        }
        for id in loads.keys.sorted() where random.once(in: 4) {
            loads[id]?.flows = UInt32(random.number(0...6))
        }
        for id in slots.keys.sorted() {
            let own = backends.filter { $0.value.service == id }.keys.sorted()
            guard !own.isEmpty, let count = slots[id]?.count, count <= World.sweptSlots else {
                continue
            }
            for _ in 0..<max(count / 8, 1) {
                slots[id]?[random.number(0...count - 1)] = World.slotWord(
                    in: id, of: own, &random)
            }
        }
    }
}

// MARK: - Into the maps, and out of them

/// What §6 changes in the maps.
struct FlowState: Equatable {
    /// All words of the buckets in use, and of as many again behind them.
    var words: [UInt64]
    var openFlows: [UInt32: UInt32]
    var turnsTaken: [UInt32: UInt64]
}

extension FlowState {
    init(_ tables: Model.Tables) {
        words = (0..<2 * (tables.flowMask + 1)).flatMap {
            tables.flows[$0] ?? Array(repeating: 0, count: 8)
        }
        openFlows = tables.loads.mapValues(\.flows).filter { $0.value != 0 }
        turnsTaken = tables.turns.mapValues(\.taken).filter { $0.value != 0 }
    }

    init(_ plane: XDPPlane, mask: UInt32) throws {
        let flows = try MappedArray<UInt64>(plane.tables.flows)
        words = []
        for index in 0..<16 * Int(mask + 1) { words.append(flows[index]) }
        let loads = try MappedArray<UInt32>(plane.tables.backendLoads)
        let turns = try MappedArray<UInt64>(plane.tables.turns)
        (openFlows, turnsTaken) = ([:], [:])
        for number in 1...World.highestNumber {
            let (open, taken) = (loads[4 * Int(number)], turns[2 * Int(number)])
            if open != 0 { openFlows[number] = open }
            if taken != 0 { turnsTaken[number] = taken }
        }
    }

    /// What is other than in `found`; nil: nothing, give or take the moment at which the clock was
    /// read.
    func difference(from found: FlowState) -> String? {
        if let index = words.indices.first(where: { !Self.areAlike(words[$0], found.words[$0]) }) {
            return "at \(index / 8).\(index % 8) \(Self.text(words[index])), "
                + "not \(Self.text(found.words[index]))"
        }
        if openFlows != found.openFlows {
            return "open flows \(Self.changes(openFlows, found.openFlows))"
        }
        if turnsTaken != found.turnsTaken {
            return "turns \(Self.changes(turnsTaken, found.turnsTaken))"
        }
        return nil
    }

    private static func areAlike(_ word: UInt64, _ other: UInt64) -> Bool {
        guard var entry = FlowEntry(word: word), let found = FlowEntry(word: other) else {
            return word == other
        }
        let apart = (entry.epoch &- found.epoch) & 4095
        guard apart <= 1 || apart == 4095 else { return false }
        entry.epoch = found.epoch
        return entry == found
    }

    private static func text(_ word: UInt64) -> String {
        guard let entry = FlowEntry(word: word) else { return "free" }
        return "backend \(entry.backend) slot \(entry.slot) state \(entry.state.rawValue) "
            + "epoch \(entry.epoch) fingerprint \(entry.fingerprint)"
    }

    private static func changes<Number: Equatable>(
        _ expected: [UInt32: Number], _ found: [UInt32: Number]
    ) -> String {
        Set(expected.keys).union(found.keys).sorted().filter { expected[$0] != found[$0] }
            .map { id in
                let (right, wrong) = (expected[id], found[id])
                return "of \(id) \(right.map { "\($0)" } ?? "0"), "
                    + "not \(wrong.map { "\($0)" } ?? "0")"
            }.joined(separator: "; ")
    }
}

extension Model.Tables {
    /// Takes over what was found in a plane.
    mutating func adopt(_ state: FlowState) {
        for bucket in 0..<2 * (flowMask + 1) {
            flows[bucket] = Array(state.words[8 * Int(bucket)..<8 * Int(bucket) + 8])
        }
        for id in loads.keys { loads[id]?.flows = state.openFlows[id] ?? 0 }
        for id in turns.keys { turns[id]?.taken = state.turnsTaken[id] ?? 0 }
    }
}
