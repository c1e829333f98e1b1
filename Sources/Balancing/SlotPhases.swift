// How a slot goes from one owner to another without cutting a flow: docs/consistency.md.

extension Slot {
    /// The slot when the table gives it to `owner`.
    ///
    /// The first former owner stays the former owner: flows opened since then have entries. One
    /// that is lost, or nobody, is forgotten: without an entry its flows are the new owner's.
    /// Whether some flows have entries is never forgotten here: only a sweep knows.
    ///
    /// - Parameter lost: Whose flows can't live.
    public func given(to owner: BackendID?, lost: (BackendID) -> Bool) -> Slot {
        let isUnchanged = owner == self.owner
        if isUnchanged && !looks { return Slot(owner: owner) }
        guard let fallback, !lost(fallback) else {
            return Slot(owner: owner, former: looks ? owner : nil, looks: looks)
        }
        return isUnchanged ? self : Slot(owner: owner, former: fallback, looks: true)
    }

    /// From now on flows without an entry get one: those that came before the change and still
    /// send something will have one.
    public func pinning() -> Slot {
        guard phase == .moving else { return self }
        return Slot(owner: owner, former: former, looks: true, pins: true)
    }

    /// Flows without an entry are the owner's: those of the former owner had time to get one.
    public func pinned() -> Slot {
        guard phase == .pinning else { return self }
        return Slot(owner: owner, former: owner, looks: true)
    }

    /// The flow table is not looked at any more: a sweep found no entry for another backend than
    /// the owner.
    public func settled() -> Slot {
        guard phase == .pinned else { return self }
        return Slot(owner: owner)
    }

    /// The slot of a service whose flows have had an entry each, and will not any more.
    public func looking() -> Slot {
        looks ? self : Slot(owner: owner, former: owner, looks: true)
    }
}

extension PlaneContents {
    /// What moves slots of a service on, as far as `move` changes them.
    ///
    /// - Parameters:
    ///   - slots: Their numbers.
    ///   - move: From a slot to what becomes of it, such as ``Slot/pinning()``.
    public func advance(
        _ service: ServiceID, _ slots: some Sequence<Int>, by move: (Slot) -> Slot
    ) -> [Step] {
        guard let present = services[service]?.slots else { return [] }
        let changes = slots.compactMap { number -> SlotChange? in
            let moved = move(present[number])
            return moved == present[number] ? nil : SlotChange(slot: number, to: moved)
        }
        return changes.isEmpty ? [] : [.writeSlots(service, changes)]
    }

    /// What moves all slots of a service on, as far as `move` changes them.
    public func advance(_ service: ServiceID, by move: (Slot) -> Slot) -> [Step] {
        advance(service, services[service]?.slots.indices ?? 0..<0, by: move)
    }
}
