import CDatapath

/// Brings what one flow table holds into another, in which packets may make entries meanwhile.
///
/// It can be done again: what is there already is not brought twice. A flow that both have keeps
/// what was written last.
package struct FlowMerge {
    /// Words from one bucket to the next; the first of them are its entries.
    private let oldStride: Int
    private let newStride: Int
    /// Number of buckets in use - 1.
    private let mask: UInt32
    /// Flows for which no place was left.
    package private(set) var lost = 0

    package init(oldStride: Int, newStride: Int, mask: UInt32) {
        self.oldStride = oldStride
        self.newStride = newStride
        self.mask = mask
    }

    package mutating func run(
        from old: borrowing some SharedWords & ~Copyable,
        into new: borrowing some SharedWords & ~Copyable
    ) {
        for bucket in 0...Int(mask) {
            for word in 0..<min(oldStride, newStride) {
                let entry = old[bucket * oldStride + word]
                guard entry != 0, entry != new[bucket * newStride + word] else { continue }
                if word < lanes {
                    merge(entry, bucket, word, into: new)
                } else {
                    // What a later version put behind the entries.
                    _ = new.replace(0, with: entry, at: bucket * newStride + word)
                }
            }
        }
    }

    /// Where it was, if the place is its own or free; else where its flow is; else where there is
    /// room.
    private mutating func merge(
        _ entry: UInt64, _ bucket: Int, _ lane: Int,
        into new: borrowing some SharedWords & ~Copyable
    ) {
        let own = bucket * newStride + lane
        if settle(entry, at: own, new) { return }
        let places = [bucket, other(bucket, entry)].flatMap { bucket in
            (0..<lanes).map { bucket * newStride + $0 }
        }
        for place in places where areSame(new[place], entry) {
            if settle(entry, at: place, new) { return }
        }
        for place in places where new[place] == 0 {
            if settle(entry, at: place, new) { return }
        }
        lost += 1
    }

    /// Whether the flow is at that place afterwards.
    private func settle(
        _ entry: UInt64, at place: Int, _ new: borrowing some SharedWords & ~Copyable
    ) -> Bool {
        while true {
            let present = new[place]
            guard present == 0 || areSame(present, entry) else { return false }
            if present != 0, !isLater(entry, than: present) { return true }
            if new.replace(present, with: entry, at: place) { return true }
        }
    }

    /// Whether both words are of one flow, or of one client.
    private func areSame(_ one: UInt64, _ other: UInt64) -> Bool {
        let affinity = MARTLET_FLOW_AFFINITY
        return (one ^ other) & (MARTLET_FLOW_FINGERPRINT | MARTLET_FLOW_SLOT) == 0
            && FlowEntry(word: one).state != MARTLET_FLOW_FREE
            && (FlowEntry(word: one).state == affinity)
                == (FlowEntry(word: other).state == affinity)
    }

    /// By their last packets, and where those came at one time by how far the flow had come.
    private func isLater(_ one: UInt64, than other: UInt64) -> Bool {
        let (one, other) = (FlowEntry(word: one), FlowEntry(word: other))
        let epochs = UInt16(1) << UInt16(MARTLET_FLOW_EPOCH_BITS.rawValue)
        let ahead = (one.epoch.number &- other.epoch.number) & (epochs - 1)
        if ahead == 0 { return one.state.rawValue > other.state.rawValue }
        return ahead < epochs / 2
    }

    /// As `other_bucket` of bpf/src/flows.h.
    private func other(_ bucket: Int, _ entry: UInt64) -> Int {
        let fingerprint = UInt32(entry >> UInt64(MARTLET_FLOW_FINGERPRINT_SHIFT.rawValue))
        let step = fingerprint &* MARTLET_FLOW_MIX >> 8 | 1
        return Int((UInt32(bucket) ^ step) & mask)
    }

    private var lanes: Int { Int(MARTLET_FLOW_LANES.rawValue) }
}

/// The same for the ports of one NAT address: a port has one flow, and no other place.
package struct NATFlowMerge {
    private let oldStride: Int
    private let newStride: Int
    /// Flows whose port another one has by now.
    package private(set) var lost = 0

    package init(oldStride: Int, newStride: Int) {
        self.oldStride = oldStride
        self.newStride = newStride
    }

    package mutating func run(
        from old: borrowing some SharedWords & ~Copyable,
        into new: borrowing some SharedWords & ~Copyable
    ) {
        let lanes = Int(MARTLET_NAT_LANES.rawValue)
        for bucket in 0..<old.count / oldStride {
            for lane in 0..<lanes {
                let flow = lanes + lane * wordsOfNATFlow
                merge(
                    old, (bucket * oldStride + lane, bucket * oldStride + flow),
                    into: new, (bucket * newStride + lane, bucket * newStride + flow))
            }
        }
    }

    private typealias Place = (word: Int, flow: Int)

    private mutating func merge(
        _ old: borrowing some SharedWords & ~Copyable, _ from: Place,
        into new: borrowing some SharedWords & ~Copyable, _ into: Place
    ) {
        while true {
            let word = old[from.word]
            // One that is being made is no flow yet; if the packet is gone it never will be.
            guard state(word) != MARTLET_NAT_FREE, state(word) != MARTLET_NAT_MAKING else { return }
            let present = new[into.word]
            if present == word { return }
            if present == 0 {
                // Nobody else takes the port while its flow is written.
                let making =
                    word & ~UInt64(MARTLET_NAT_STATE.rawValue)
                    | UInt64(MARTLET_NAT_MAKING.rawValue)
                guard new.replace(0, with: making, at: into.word) else { continue }
                copyFlow(old, from.flow, into: new, into.flow)
                // Another flow may have got hold of the port since the word was read.
                let now = old[from.word]
                let isTrue = tag(now) == tag(word) && state(now) != MARTLET_NAT_MAKING
                _ = new.replace(making, with: isTrue ? word : 0, at: into.word)
                if isTrue { return }
            } else if tag(present) == tag(word) {
                guard isLater(word, than: present) else { return }
                if new.replace(present, with: word, at: into.word) { return }
            } else {
                lost += 1
                return
            }
        }
    }

    private func copyFlow(
        _ old: borrowing some SharedWords & ~Copyable, _ from: Int,
        into new: borrowing some SharedWords & ~Copyable, _ into: Int
    ) {
        for word in 0..<wordsOfNATFlow {
            while !new.replace(new[into + word], with: old[from + word], at: into + word) {}
        }
    }

    private func state(_ word: UInt64) -> martlet_nat_state {
        martlet_nat_state(UInt32(truncatingIfNeeded: word & UInt64(MARTLET_NAT_STATE.rawValue)))
    }

    private func tag(_ word: UInt64) -> UInt64 { word >> UInt64(MARTLET_NAT_TAG_SHIFT.rawValue) }

    /// Time and state are one number, the time modulo its bits in front.
    private func isLater(_ one: UInt64, than other: UInt64) -> Bool {
        let bits = UInt32(MARTLET_NAT_TIME_BITS.rawValue)
        let time = { (word: UInt64) in
            UInt32(truncatingIfNeeded: word) >> UInt32(MARTLET_NAT_TIME_SHIFT.rawValue)
        }
        let ahead = (time(one) &- time(other)) & (1 << bits - 1)
        if ahead == 0 { return state(one).rawValue > state(other).rawValue }
        return ahead < 1 << (bits - 1)
    }
}
