import Balancing

/// Slot tables that several services have in common: those with the same backends, of which the
/// same are ready. A backend that a thousand services share is one table more, not a thousand.
struct TableCache {
    private struct Arrangement: Hashable {
        var members: [SlotTable.Member]
        var scheduler: Scheduler
        var readiness: [UInt16]
    }

    private var bases: [[SlotTable.Member]: SlotTable] = [:]
    private var arranged: [Arrangement: (table: SlotTable, turnLength: Int)] = [:]
    /// How many were worked out, those that are forgotten among them.
    private(set) var built = 0

    /// Who owns what when all of them serve.
    mutating func base(of members: [SlotTable.Member], count: Int) -> SlotTable {
        if let known = bases[members], known.count == count { return known }
        let table = SlotTable(members: members, count: count)
        built += 1
        bases[members] = table
        return table
    }

    /// A table that was worked out before needs not be again.
    mutating func keep(_ base: SlotTable, of members: [SlotTable.Member]) { bases[members] = base }

    /// Who owns what, as far as they are ready, and after how many slots turns begin again.
    mutating func table(
        _ base: SlotTable, of members: [SlotTable.Member], for scheduler: Scheduler,
        _ readiness: [UInt16]
    ) -> (table: SlotTable, turnLength: Int) {
        let key = Arrangement(members: members, scheduler: scheduler, readiness: readiness)
        if let known = arranged[key], known.table.count == base.count { return known }
        let made = base.arranged(for: scheduler, members, readiness)
        arranged[key] = made
        built += 1
        return made
    }

    /// What is needed once is not kept for ever: 128 KiB each.
    mutating func forget() { (bases, arranged) = ([:], [:]) }
}
