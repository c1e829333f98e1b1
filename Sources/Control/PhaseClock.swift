import Balancing

/// Since when slots are in their phase, as far as they are not settled; and so when they move on.
///
/// Planes do not tell it: to a controller that starts all of them are new, so that a restart makes
/// a hold longer and never shorter. Moments are told by a clock that nobody sets.
struct PhaseClock {
    /// How the slots of a service move on.
    struct Rules: Hashable {
        var hold: Duration
        var keepAlive: Duration
        /// Former owners whose flows are to be counted: their slots do not wait for the hold.
        var hastened: Set<BackendID> = []
        /// Whether some flow may not have got the entry that it should have.
        var isUnderPressure = false
        /// Whether no flow has to be remembered for being of a slot.
        var isForNewFlowsOnly = false
    }

    /// The slots of one service. Times are in tenths of a second since `base`.
    private struct Watch {
        /// For each slot when its word was written.
        var written: [Int32]
        /// Those that may look; nil: any may.
        var pending: [Int]?
        /// By which rules they were gone through last, and until when they need not be again.
        var rules: Rules?
        var rest = 0
    }

    private var watches: [ServiceID: Watch] = [:]
    private let base: Duration

    init(_ contents: PlaneContents, at moment: Duration) {
        base = moment
        for (id, service) in contents.services where service.slots.contains(where: \.looks) {
            watches[id] = Watch(written: Array(repeating: 0, count: service.slots.count))
        }
    }

    /// The services that have slots to move on.
    var unsettled: Set<ServiceID> { Set(watches.keys) }

    /// Takes into account that `step` was done at `moment`.
    mutating func note(_ step: Step, at moment: Duration) {
        switch step {
        case .writeSlots(let id, let changes):
            guard watches[id] != nil || changes.contains(where: \.to.looks) else { return }
            let last = changes.lazy.map(\.slot).max() ?? 0
            let now = Int32(clamping: tenths(moment - base, roundedUp: true))
            var watch = watches.removeValue(forKey: id) ?? Watch(written: [])
            if watch.written.count <= last {
                watch.written += Array(repeating: now, count: last + 1 - watch.written.count)
            }
            for change in changes { watch.written[change.slot] = now }
            watch.pending = nil
            watches[id] = watch
        case .removeSlots(let id): watches[id] = nil
        default: break
        }
    }

    /// What moves the slots of a service on that have waited long enough.
    ///
    /// - Parameters:
    ///   - foreign: Slots of which a flow has an entry for another backend than the owner.
    ///   - sweepStart: When it was begun to look for these.
    mutating func steps(
        for id: ServiceID, in contents: PlaneContents, by rules: Rules, foreign: SlotSet?,
        sweepStart: Duration, at moment: Duration
    ) -> [Step] {
        guard let watch = watches.removeValue(forKey: id),
            let slots = contents.services[id]?.slots
        else { return [] }
        let now = tenths(moment - base)
        if watch.pending != nil, watch.rules == rules, now < watch.rest {
            watches[id] = watch
            return []
        }
        let judge = Judge(rules, now: now, looked: tenths(sweepStart - base))
        var (changes, pending, rest) = ([SlotChange](), [Int](), Int.max)
        func visit(_ number: Int) {
            let slot = slots[number]
            guard slot.looks else { return }
            pending.append(number)
            let isClear = foreign.map { !$0.contains(number) } ?? true
            let verdict = judge.verdict(
                on: slot, writtenAt: Int(watch.written[number]), isClear: isClear)
            rest = min(rest, verdict.rest)
            if verdict.next != slot { changes.append(SlotChange(slot: number, to: verdict.next)) }
        }
        if let known = watch.pending { known.forEach(visit) } else { slots.indices.forEach(visit) }
        guard !pending.isEmpty else { return [] }
        // What is to be written may be refused, and is then to be written the next time.
        watches[id] = Watch(written: watch.written, pending: pending, rules: rules, rest: rest)
        return changes.isEmpty ? [] : [.writeSlots(id, changes)]
    }

    /// How slots move on at a moment.
    private struct Judge {
        let rules: Rules
        let hold: Int
        let pinning: Int
        let now: Int
        let looked: Int

        init(_ rules: Rules, now: Int, looked: Int) {
            self.rules = rules
            hold = tenths(rules.hold, roundedUp: true)
            pinning = 2 * tenths(rules.keepAlive, roundedUp: true)
            self.now = now
            self.looked = looked
        }

        /// What becomes of a slot, and until when it will be nothing else if no rule changes.
        func verdict(
            on slot: Slot, writtenAt since: Int, isClear: Bool
        ) -> (next: Slot, rest: Int) {
            if rules.isForNewFlowsOnly { return (isClear ? Slot(owner: slot.owner) : slot, 0) }
            switch slot.phase {
            case .moving:
                let isHastened = slot.former.map(rules.hastened.contains) ?? false
                let end = isHastened ? now : since + hold
                return (now >= end ? slot.pinning() : slot, end)
            case .pinning:
                let end = rules.isUnderPressure ? Int.max : since + pinning
                return (now >= end ? slot.pinned() : slot, end)
            case .pinned:
                // A packet that has read the word before may have made an entry since the sweep.
                return (looked - since >= 10 && isClear ? slot.settled() : slot, 0)
            case .settled: return (slot, Int.max)
            }
        }
    }
}

/// Rounded so that nothing is too early: the present down, and what is compared with it up.
private func tenths(_ duration: Duration, roundedUp: Bool = false) -> Int {
    let (seconds, attoseconds) = duration.components
    let (whole, rest) = attoseconds.quotientAndRemainder(dividingBy: 100_000_000_000_000_000)
    return Int(seconds * 10 + whole) + (roundedUp && rest > 0 ? 1 : 0)
}
