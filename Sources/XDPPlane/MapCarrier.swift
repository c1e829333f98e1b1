import BPF
import CDatapath

/// Brings what the program writes from old maps to new ones: once before it is replaced, and once
/// more what it wrote until then.
struct MapCarrier: ~Copyable {
    /// By the map's name what was copied, for fields that both programs add to.
    private var copied: [String: [UInt32]] = [:]

    /// While the old program runs on the old map, and nobody on the new one.
    ///
    /// - Parameter staged: The pins of maps inside the new one.
    mutating func copy(
        _ pair: MapPair, _ pins: PinDirectory, _ staged: InnerPins
    ) throws(Failure) {
        switch MapWriters(of: pair.name) {
        case .flows: _ = try mergeFlows(pair, pins)
        case .natFlows:
            for index in 1..<pair.old.shape.capacity {
                guard let present = try pair.oldInner(index) else { continue }
                if let copy = try staged.open(index, of: pair.new) {
                    _ = try mergeNATFlows(MapPair(old: present, new: copy))
                } else {
                    let copy = try pair.makeInner(like: present)
                    _ = try mergeNATFlows(MapPair(old: present, new: copy))
                    try staged.pin(copy, as: InnerPins.Name(in: pair.new, at: index))
                    try pair.new.set(inner: copy, at: index)
                }
            }
        case .programForAWhile: try pair.copyEntries(onlyIfNew: true)
        case .loads, .turns:
            try pair.copyAll()
            copied[pair.name] = words(of: try MappedArray<UInt32>(pair.new))
        case .counting, .programForATick: break
        case .controller: try pair.copyAll()
        }
    }

    /// While the new program runs on the new map, and nobody on the old one.
    ///
    /// - Returns: What could not be brought over, in words.
    func carry(
        _ pair: MapPair, _ pins: PinDirectory, _ staged: InnerPins
    ) throws(Failure) -> [String] {
        var lost = 0
        switch MapWriters(of: pair.name) {
        case .flows: lost = try mergeFlows(pair, pins)
        case .natFlows:
            for index in 1..<min(pair.old.shape.capacity, pair.new.shape.capacity) {
                guard let old = try pair.oldInner(index),
                    let new = try staged.open(index, of: pair.new)
                else { continue }
                lost += try mergeNATFlows(MapPair(old: old, new: new))
            }
        case .programForAWhile: try pair.copyEntries(onlyIfNew: true)
        case .loads: try carryLoads(pair)
        case .turns: try carryTurns(pair)
        case .counting:
            // Of verdicts the numbers are others in a build that has more of them.
            let areOthers = pair.name == "verdict_counters"
                && pair.old.shape.capacity != pair.new.shape.capacity
            if areOthers { return ["\(pair.name) begins at 0: this version has other verdicts"] }
            try pour(pair.old, into: pair.new)
        case .programForATick, .controller: break
        }
        return lost == 0 ? [] : ["\(lost) entries of \(pair.name) found no place in the new table"]
    }

    private func mergeFlows(_ pair: MapPair, _ pins: PinDirectory) throws(Failure) -> Int {
        let settings = try RawMap(pinnedAt: pins.path(of: "settings"), name: "settings")
        let place = MemoryLayout<martlet_settings>.offset(of: \.flow_mask) ?? 0
        let mask = try settings.value(for: RawMap.key(0)).map { RawMap.word($0, at: place) } ?? 0
        var merge = FlowMerge(
            oldStride: pair.old.shape.stride / 8, newStride: pair.new.shape.stride / 8,
            mask: min(mask, UInt32(pair.old.shape.capacity - 1)))
        try merge.run(
            from: MappedArray<UInt64>(pair.old), into: MappedArray<UInt64>(pair.new))
        return merge.lost
    }

    private func mergeNATFlows(_ pair: MapPair) throws(Failure) -> Int {
        var merge = NATFlowMerge(
            oldStride: pair.old.shape.stride / 8, newStride: pair.new.shape.stride / 8)
        try merge.run(
            from: MappedArray<UInt64>(pair.old), into: MappedArray<UInt64>(pair.new))
        return merge.lost
    }

    /// Flows are added up; a latency that only the old program measured is taken.
    ///
    /// Without knowing what was copied nothing is done: the sweeps set the flows right.
    private func carryLoads(_ pair: MapPair) throws(Failure) {
        guard let before = copied[pair.name] else { return }
        let old = try MappedArray<UInt32>(pair.old)
        let new = try MappedArray<UInt32>(pair.new)
        let (oldStride, newStride) = (pair.old.shape.stride / 4, pair.new.shape.stride / 4)
        for index in 0..<pair.old.shape.capacity {
            for field in [LoadWord.flows, .latency] {
                let place = index * newStride + field.rawValue
                let (known, now) = (before[place], old[index * oldStride + field.rawValue])
                guard now != known else { continue }
                if field == .flows {
                    new.add(now &- known, at: place)
                } else {
                    _ = new.replace(known, with: now, at: place)
                }
            }
        }
    }

    /// Without knowing what was copied whoever took more turns is right: a few come twice.
    private func carryTurns(_ pair: MapPair) throws(Failure) {
        let old = try MappedArray<UInt64>(pair.old)
        let new = try MappedArray<UInt64>(pair.new)
        let (oldStride, newStride) = (pair.old.shape.stride / 8, pair.new.shape.stride / 8)
        let before = copied[pair.name]
        for index in 0..<pair.old.shape.capacity {
            let (now, place) = (old[index * oldStride], index * newStride)
            let known = before.map { UInt64($0[place * 2]) | UInt64($0[place * 2 + 1]) << 32 }
            let ahead = now &- (known ?? new[place])
            if ahead != 0, ahead >> 63 == 0 { new.add(ahead, at: place) }
        }
    }

    private func words(of map: borrowing MappedArray<UInt32>) -> [UInt32] {
        (0..<map.count).map { map[$0] }
    }
}
