import CDatapath

// docs/life-of-a-packet.md §6, *A backend is chosen*.

extension Decision {
    /// A backend for a new flow: that of its client, or one that has slots.
    mutating func choose(for flow: SlottedFlow) -> Choice {
        guard flow.service.hasClientAffinity, !flow.service.isMaglev else {
            return chooseAmongSlots(flow)
        }
        let known = find(flow.slotHash, in: flow) { $0 == MARTLET_FLOW_AFFINITY }
        outcome.affinity = known?.1
        if let (place, entry) = known, tables.load(of: entry.backend).keepsClients {
            remember(entry.backend, in: entry, at: place)
            return .backend(entry.backend, place: nil)
        }
        let choice = chooseAmongSlots(flow)
        guard case .backend(let chosen, _) = choice else { return choice }
        if let (place, entry) = known {
            remember(chosen, in: entry, at: place)
        } else {
            // Refused: the client's next flow may have another backend.
            _ = make(flow.slotHash, in: flow, MARTLET_FLOW_AFFINITY, of: chosen)
        }
        return choice
    }

    private mutating func remember(_ backend: UInt32, in entry: FlowEntry, at place: FlowPlace) {
        var entry = entry
        (entry.backend, entry.epoch) = (backend, epoch)
        outcome.flowWords[place] = entry.word
    }

    private mutating func chooseAmongSlots(_ flow: SlottedFlow) -> Choice {
        let tried: [UInt32]
        let chosen: UInt32?
        if flow.service.isRoundRobin {
            tried = turns(flow)
            chosen = tried.first(where: canBeHad)
        } else {
            let groups = groups(of: flow)
            tried = groups.flatMap { $0 }
            chosen =
                flow.service.isLeastCost
                ? groups.lazy.compactMap(cheapest).first : tried.first(where: canBeHad)
        }
        outcome.tried = tried
        guard let chosen else {
            // Whoever is there is full.
            return .verdict(
                tried.contains { $0 != 0 } ? MARTLET_DROP_BACKENDS_FULL : MARTLET_DROP_NO_BACKEND)
        }
        return .backend(chosen, place: nil)
    }

    private func canBeHad(_ owner: UInt32) -> Bool { owner != 0 && !tables.load(of: owner).isFull }

    // MARK: Which slots: their owners, in the order in which they are tried

    /// Those whose turn it is.
    private mutating func turns(_ flow: SlottedFlow) -> [UInt32] {
        outcome.takesTurn = true
        let turns = tables.turns[flow.service.id] ?? Tables.Turns(taken: 0, length: 0)
        let length = turns.length == 0 ? flow.slots.count : Int(turns.length)
        let turn = Int(turns.taken % UInt64(length))
        return (0..<32).map { owner(of: (turn + $0) % length, flow) }
    }

    /// Those of the cache line with the flow's slot, and, if all that own one in it are full, of
    /// others until somebody can be had, eight at most; each from its slot on and round.
    private func groups(of flow: SlottedFlow) -> [[UInt32]] {
        let first = group(of: Int(flow.slot), flow)
        guard first.contains(where: { $0 != 0 }) else { return [first] }
        var groups = [first]
        var hash = flow.slotHash
        while groups.count < 8, !groups[groups.count - 1].contains(where: canBeHad) {
            hash &*= 0x9e37_79b9_7f4a_7c15
            groups.append(group(of: Int(hash >> 32) & (flow.slots.count - 1), flow))
        }
        return groups
    }

    private func group(of slot: Int, _ flow: SlottedFlow) -> [UInt32] {
        let size = min(16, flow.slots.count)
        let first = slot / size * size
        return (0..<size).map { owner(of: first + (slot + $0) % size, flow) }
    }

    private func owner(of slot: Int, _ flow: SlottedFlow) -> UInt32 { flow.slots[slot] & 0x7fff }

    /// The first of them that has the lowest cost.
    private func cheapest(_ owners: [UInt32]) -> UInt32? {
        owners.filter(canBeHad).reduce(nil) { best, owner in
            guard let best else { return owner }
            return tables.load(of: owner).isCheaper(than: tables.load(of: best)) ? owner : best
        }
    }
}

extension Tables {
    package func load(of backend: UInt32) -> Load { loads[backend] ?? Load() }
}

extension Tables.Service {
    /// Whether a new flow goes to the slot of its hash.
    package var isMaglev: Bool { !isRoundRobin && !isLeastCost }
}

extension Tables.Load {
    package var isFull: Bool { limit != 0 && openFlows >= limit }
    /// While the controller sets the number right it may get below 0.
    package var openFlows: UInt32 { flows > Int32.max ? 0 : flows }
    /// Whether new flows of clients that it knows still go there.
    package var keepsClients: Bool { !isClosed && !isFull }

    /// Whether one more flow costs less there: latency · (flows + 1) / weight.
    func isCheaper(than other: Self) -> Bool {
        price * UInt128(other.divisor) < other.price * UInt128(divisor)
    }

    /// Bounded, so that 64 bits are enough.
    private var price: UInt128 {
        UInt128(min(max(latency, 1), 1 << 22 - 1)) * UInt128(min(openFlows + 1, 1 << 25 - 1))
    }
    private var divisor: UInt16 { max(weight, 1) }
}
