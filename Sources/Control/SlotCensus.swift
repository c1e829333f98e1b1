import Balancing

/// What the slots of a service say, counted. In arrays: there are 65,536 slots, and a thousand
/// services may be told of at once.
struct SlotCensus {
    let count: Int
    private(set) var withoutOwner = 0
    private(set) var moving = 0
    private(set) var pinning = 0
    private(set) var pinned = 0
    /// By the backend's number.
    private var owned: [Int32]
    private var isFormer: [Bool]

    init(_ slots: [Slot]) {
        count = slots.count
        owned = Array(repeating: 0, count: 1 << 15)
        isFormer = Array(repeating: false, count: 1 << 15)
        for slot in slots {
            owned[Int(slot.owner?.number ?? 0)] += 1
            isFormer[Int(slot.former?.number ?? 0)] = true
            guard slot.looks else { continue }
            switch slot.phase {
            case .moving: moving += 1
            case .pinning: pinning += 1
            case .pinned: pinned += 1
            case .settled: break
            }
        }
        withoutOwner = Int(owned[0])
    }

    func owned(by backend: BackendID) -> Int { Int(owned[Int(backend.number)]) }

    /// Whether it owns a slot, or has flows of one that has another owner.
    func names(_ backend: BackendID) -> Bool {
        owned[Int(backend.number)] > 0 || isFormer[Int(backend.number)]
    }
}
