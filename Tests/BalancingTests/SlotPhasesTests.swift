import Balancing
import Testing

private let a = BackendID(1)
private let b = BackendID(2)
private let c = BackendID(3)

private func moving(_ owner: BackendID?, from former: BackendID) -> Slot {
    Slot(owner: owner, former: former, looks: true)
}

private func pinning(_ owner: BackendID?, from former: BackendID) -> Slot {
    Slot(owner: owner, former: former, looks: true, pins: true)
}

private func pinned(_ owner: BackendID?) -> Slot { Slot(owner: owner, former: owner, looks: true) }

private func settled(_ owner: BackendID?) -> Slot { Slot(owner: owner) }

struct SlotPhasesTests {
    struct Gift: Sendable {
        let slot: Slot
        let to: BackendID?
        var lost: Set<BackendID> = []
        let after: Slot
    }

    @Test(arguments: [
        // The same owner.
        Gift(slot: settled(a), to: a, after: settled(a)),
        Gift(slot: settled(nil), to: nil, after: settled(nil)),
        Gift(slot: settled(a), to: a, lost: [a], after: settled(a)),
        Gift(slot: moving(b, from: a), to: b, after: moving(b, from: a)),
        Gift(slot: pinning(b, from: a), to: b, after: pinning(b, from: a)),
        Gift(slot: pinned(b), to: b, after: pinned(b)),
        Gift(slot: moving(b, from: a), to: b, lost: [a], after: pinned(b)),
        Gift(slot: pinning(b, from: a), to: b, lost: [a], after: pinned(b)),
        Gift(slot: moving(nil, from: a), to: nil, lost: [a], after: pinned(nil)),
        // Another one: who has a settled slot becomes its former owner.
        Gift(slot: settled(nil), to: a, after: settled(a)),
        Gift(slot: settled(a), to: b, after: moving(b, from: a)),
        Gift(slot: settled(a), to: b, lost: [a], after: settled(b)),
        Gift(slot: settled(a), to: nil, after: moving(nil, from: a)),
        Gift(slot: settled(a), to: nil, lost: [a], after: settled(nil)),
        Gift(slot: pinned(a), to: b, after: moving(b, from: a)),
        Gift(slot: pinned(a), to: b, lost: [a], after: pinned(b)),
        Gift(slot: pinned(nil), to: a, after: pinned(a)),
        // The first former owner stays it.
        Gift(slot: moving(b, from: a), to: c, after: moving(c, from: a)),
        Gift(slot: moving(b, from: a), to: a, after: pinned(a)),
        Gift(slot: moving(b, from: a), to: c, lost: [b], after: moving(c, from: a)),
        Gift(slot: moving(b, from: a), to: c, lost: [a], after: pinned(c)),
        Gift(slot: pinning(b, from: a), to: c, after: moving(c, from: a)),
        Gift(slot: pinning(b, from: a), to: nil, after: moving(nil, from: a)),
        Gift(slot: moving(nil, from: a), to: b, after: moving(b, from: a)),
        Gift(slot: moving(nil, from: a), to: b, lost: [a], after: pinned(b)),
    ])
    func `a slot that is given away keeps its first former owner, unless that is lost`(
        gift: Gift
    ) {
        let after = gift.slot.given(to: gift.to) { gift.lost.contains($0) }
        #expect(after == gift.after)
        #expect(after.given(to: gift.to) { gift.lost.contains($0) } == after, "nothing new")
    }

    @Test func `each phase leads to the next one, and no other way`() {
        let all = [settled(a), moving(b, from: a), pinning(b, from: a), pinned(b)]
        #expect(all.map(\.phase) == [.settled, .moving, .pinning, .pinned])
        #expect(all.map { $0.pinning() } == [all[0], all[2], all[2], all[3]])
        #expect(all.map { $0.pinned() } == [all[0], all[1], all[3], all[3]])
        #expect(all.map { $0.settled() } == [all[0], all[1], all[2], settled(b)])
        #expect(all.map { $0.looking() } == [pinned(a), all[1], all[2], all[3]])
        #expect(pinning(nil, from: a).pinned() == pinned(nil))
    }

    @Test func `slots are moved on by one step that names those that change`() {
        let service = ServiceID(7)
        var contents = PlaneContents(
            services: [
                service: .init(slots: [settled(a), moving(b, from: a), moving(c, from: a)])
            ])
        #expect(
            contents.advance(service, [0, 1]) { $0.pinning() }
                == [.writeSlots(service, [SlotChange(slot: 1, to: pinning(b, from: a))])])
        for step in contents.advance(service, by: { $0.pinning() }) { contents.apply(step) }
        #expect(
            contents.services[service]?.slots
                == [settled(a), pinning(b, from: a), pinning(c, from: a)])
        #expect(contents.advance(service) { $0.settled() } == [])
        #expect(contents.advance(ServiceID(8)) { $0.settled() } == [])
    }
}

// MARK: - A slot with its flows

/// What the data path does with the flows of one slot: life-of-a-packet.md §6.
private struct SlotModel {
    struct Flow {
        /// Who has it, and would reset it if it came elsewhere.
        let backend: BackendID
        var entry: BackendID?
        /// Whether it has sent something since the slot is pinning.
        var wasHeard = false
    }

    var slot = settled(a)
    var tracks = false
    var isFrozen = false
    var flows: [Flow] = []
    var dead: Set<BackendID> = []

    /// Where a packet of the flow goes.
    func destination(of flow: Flow) -> BackendID? {
        (slot.looks || tracks ? flow.entry : nil) ?? (slot.looks ? slot.fallback : slot.owner)
    }

    /// A new flow. `hasRoom`: whether the table takes an entry.
    mutating func open(hasRoom: Bool) {
        let looks = slot.looks || tracks
        guard looks else {
            if let owner = slot.owner { flows.append(Flow(backend: owner)) }
            return
        }
        let fallback = slot.fallback
        let isFallback = isFrozen || slot.owner == fallback
        if !isFrozen, let owner = slot.owner, hasRoom, tracks || !isFallback {
            flows.append(Flow(backend: owner, entry: owner))
        } else if !isFrozen, slot.owner == nil {
            return
        } else if let fallback {
            flows.append(Flow(backend: fallback))
        }
    }

    /// A packet of an established flow.
    mutating func hear(_ index: Int, hasRoom: Bool) {
        if slot.pins, flows[index].entry == nil, hasRoom {
            flows[index].entry = destination(of: flows[index])
        }
        flows[index].wasHeard = slot.pins
    }

    /// Slots are given away; flows of the dead are over, and their entries go.
    mutating func give(to owner: BackendID?) {
        slot = slot.given(to: owner) { dead.contains($0) }
        flows.removeAll { dead.contains($0.backend) }
        if !slot.pins { for index in flows.indices { flows[index].wasHeard = false } }
    }

    /// Removes entries that say nothing new, and settles the slot if no other is left.
    mutating func sweep() {
        if !tracks, slot.phase == .pinned || slot.phase == .settled {
            for index in flows.indices where flows[index].entry == slot.owner {
                flows[index].entry = nil
            }
        }
        let isForeign = flows.contains { $0.entry != nil && $0.entry != slot.owner }
        if !isForeign { slot = slot.settled() }
    }

    /// After twice the longest keep-alive: who has sent nothing is gone.
    mutating func endPinning() {
        guard slot.phase == .pinning else { return }
        flows.removeAll { $0.entry == nil && !$0.wasHeard }
        // A full table: those that got no entry still hold the slot back.
        guard flows.allSatisfy({ $0.entry != nil }) else { return }
        slot = slot.pinned()
    }

    mutating func stopTracking() {
        guard tracks else { return }
        slot = slot.looking()
        tracks = false
    }
}

extension SlotPhasesTests {
    @Test(arguments: 0..<200)
    func `every flow stays where it was opened, whatever becomes of its slot`(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var model = SlotModel()
        let all = [a, b, c]
        var cut = 0
        for step in 0..<400 {
            let hasRoom = Int.random(in: 0..<10, using: &random) > 0
            let living = all.filter { !model.dead.contains($0) }
            switch Int.random(in: 0..<24, using: &random) {
            case 0..<8: model.open(hasRoom: hasRoom)
            case 8..<13:
                guard let index = model.flows.indices.randomElement(using: &random) else { break }
                model.hear(index, hasRoom: hasRoom)
            case 13..<15: model.give(to: living.randomElement(using: &random))
            case 15: model.give(to: nil)
            case 16:
                guard let victim = living.randomElement(using: &random) else { break }
                model.dead.insert(victim)
                let owner = living.filter { $0 != victim }.randomElement(using: &random)
                model.give(to: model.slot.owner == victim ? owner : model.slot.owner)
            case 17:
                if let back = model.dead.randomElement(using: &random) { model.dead.remove(back) }
            case 18: model.slot = model.slot.pinning()
            case 19: model.endPinning()
            case 20, 21: model.sweep()
            case 22: model.isFrozen.toggle()
            default: if model.tracks { model.stopTracking() } else { model.tracks = true }
            }
            for flow in model.flows where model.destination(of: flow) != flow.backend {
                cut += 1
                Issue.record("after \(step): \(flow) in \(model.slot)")
            }
            if cut > 0 { return }
            if let owner = model.slot.owner { #expect(!model.dead.contains(owner)) }
        }
    }
}
