import BPF
public import Balancing
import CDatapath
import Synchronization

// The sweep: everything that is remembered of flows, and how many there are.

extension XDPPlane {
    /// With 2 Mi places it takes milliseconds: not for the thread of anybody who is in a hurry.
    public func sweep(_ orders: SweepOrders) throws -> SweepReport {
        let owners = owners()
        let before = owners.indices.map { openFlows(of: $0) }
        var sweep = FlowSweep(orders, owners: owners, now: .now)
        sweep.run(over: flowTable.words, count: try wordsInUse())
        for backend in owners.indices { end(sweep.ended(of: backend), of: backend) }
        try countNATFlows(in: &sweep)
        flowTable.recount.withLock { recount in
            recount.keep { owners[$0] != 0 }
            for backend in owners.indices where owners[backend] != 0 {
                let correction = recount.correction(
                    of: backend, before: before[backend] &- sweep.ended(of: backend),
                    after: openFlows(of: backend), counted: sweep.active(of: backend))
                correct(correction, of: backend)
            }
        }
        return sweep.result()
    }

    /// Removes all entries of these backends, so that their numbers can become others'.
    ///
    /// No slot names them any more. A packet that has read one when it still did may be about to
    /// make an entry: it is waited for.
    func forgetFlows(of backends: Set<BackendID>) throws(Failure) {
        try waitForPackets()
        let ended = removeEntries(of: backends, in: flowTable.words)
        for (backend, count) in ended.enumerated() { end(count, of: backend) }
    }

    /// By the backend's number that of its service; 0: the record is free.
    private func owners() -> [UInt32] {
        (0..<tables.backends.capacity).map { backend in
            UInt32(truncatingIfNeeded: records[backend * wordsOfRecord + 1])
        }
    }

    func wordsInUse() throws(Failure) -> Int {
        let mask = try tables.settings.value(for: 0)?.flow_mask ?? 0
        let lanes = Int(MARTLET_FLOW_LANES.rawValue)
        return min((Int(mask) + 1) * lanes, flowTable.words.count)
    }

    private func openFlows(of backend: Int) -> UInt32 {
        loadWords[LoadWord.flows.index(of: backend)]
    }

    /// The program does not know of those that we removed.
    private func end(_ count: UInt32, of backend: Int) {
        if count > 0 { loadWords.add(0 &- count, at: LoadWord.flows.index(of: backend)) }
    }

    private func correct(_ correction: Recount.Correction, of backend: Int) {
        let index = LoadWord.flows.index(of: backend)
        switch correction {
        case .none: break
        // If it has moved meanwhile, the next sweep sees to it.
        case .replace(let old, let new): _ = loadWords.replace(old, with: new, at: index)
        case .add(let difference): loadWords.add(UInt32(bitPattern: difference), at: index)
        }
    }

    private func countNATFlows(in sweep: inout FlowSweep) throws(Failure) {
        let ends = natEnds()
        guard ends.contains(where: { $0 != nil }) else { return }
        for number in 1..<UInt32(tables.natTables.capacity) {
            guard let table = try natTable(number) else { continue }
            sweep.count(natFlows: try MappedArray<UInt64>(table), of: ends, now: coarseTime())
        }
    }

    /// Of each backend of a `full-nat` service where its flows go.
    private func natEnds() -> [NATEnd?] {
        (0..<tables.backends.capacity).map { backend in
            NATEnd(of: records.value(at: backend, as: martlet_backend.self))
        }
    }
}

/// The flow table in our memory, and what is remembered from one sweep to the next.
struct FlowTable: ~Copyable, Sendable {
    let words: MappedArray<UInt64>
    /// Whoever takes over begins anew: a wrong number then stays wrong for two sweeps longer.
    let recount = Mutex(Recount())

    init(in tables: borrowing Tables) throws(Failure) {
        words = try MappedArray<UInt64>(tables.flows)
    }
}

private let wordsOfRecord = MemoryLayout<martlet_backend>.size / 8

/// Removes all entries of these backends; how many active ones were removed, by backend.
package func removeEntries(
    of backends: Set<BackendID>, in words: borrowing some SharedWords & ~Copyable
) -> [UInt32] {
    let count = Int(MARTLET_BACKEND_LIMIT.rawValue)
    var ended = [UInt32](repeating: 0, count: count)
    var isForgotten = [Bool](repeating: false, count: count)
    for backend in backends { isForgotten[Int(backend.number)] = true }
    for index in 0..<words.count {
        // A free place is that of the backend 0, which there is not. What a packet renews
        // meanwhile is removed all the same.
        while true {
            let entry = FlowEntry(word: words[index])
            guard isForgotten[entry.backend] else { break }
            guard words.replace(entry.word, with: 0, at: index) else { continue }
            if isActive(entry.state) { ended[entry.backend] += 1 }
        }
    }
    return ended
}
