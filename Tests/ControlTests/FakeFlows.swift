import Balancing
import Packets

/// The flow table of a ``FakePlane``: what becomes of flows by docs/life-of-a-packet.md §6,
/// without hashes, states and time.
struct FakeFlows {
    /// A flow is known by its number, and its slot by the remainder.
    struct Flow: Hashable {
        var number: Int
    }

    private struct Place: Hashable {
        var service: ServiceID
        var flow: Flow
    }

    private var entries: [Place: BackendID] = [:]
    /// What the sweep says instead of what it found.
    var edit: @Sendable (inout SweepReport) -> Void = { _ in }
    var events = FlowEvents()
    /// Whether there is no room for another entry.
    var isFull = false

    /// The flows that have an entry.
    var count: Int { entries.count }

    /// Who gets a packet; a new flow gets the owner.
    mutating func send(
        _ flow: Flow, isNew: Bool, to entry: PlaneContents.Entry, _ contents: PlaneContents
    ) -> BackendID? {
        guard let slots = contents.services[entry.service]?.slots else { return nil }
        let slot = slots[flow.number % slots.count]
        let place = Place(service: entry.service, flow: flow)
        guard slot.looks || entry.selection.tracks else { return slot.owner }
        if let known = entries[place] { return known }
        if isNew {
            guard let owner = slot.owner else { return nil }
            guard owner != slot.fallback || entry.selection.tracks else { return owner }
            return make(place, owner) ? owner : slot.fallback
        }
        if slot.pins, let fallback = slot.fallback, fallback != slot.owner {
            _ = make(place, fallback)
        }
        return slot.fallback
    }

    private mutating func make(_ place: Place, _ backend: BackendID) -> Bool {
        if isFull {
            events.refused += 1
            return false
        }
        events.made += 1
        entries[place] = backend
        return true
    }

    mutating func end(_ flow: Flow) { entries = entries.filter { $0.key.flow != flow } }

    mutating func forget(_ backends: Set<BackendID>) {
        entries = entries.filter { !backends.contains($0.value) }
    }

    /// All are established, and idle for as many seconds as their number says. The cursor is the
    /// number of the first flow that is not told.
    func page(_ query: FlowQuery, _ contents: PlaneContents) -> RecordedFlows {
        let flows = entries.filter { $0.key.flow.number >= query.cursor }
            .sorted { $0.key.flow.number < $1.key.flow.number }
            .filter { query.backends?.contains($0.value) ?? true }
            .filter { _ in query.states?.contains(.established) ?? true }
        let page = flows.prefix(query.limit)
        return RecordedFlows(
            flows: page.map { place, backend in
                let slots = contents.services[place.service]?.slots.count ?? 1
                return RecordedFlow(
                    backend: backend, state: .established, slot: place.flow.number % slots,
                    idle: .seconds(place.flow.number))
            },
            next: page.count < flows.count
                ? page.last.map { UInt64($0.key.flow.number) + 1 } : nil)
    }

    mutating func sweep(_ orders: SweepOrders, _ contents: PlaneContents) -> SweepReport {
        var report = SweepReport()
        report.capacity = 1 << 21
        for (place, backend) in entries {
            guard contents.backends[backend] != nil, !orders.lost.contains(backend) else {
                entries[place] = nil
                report.lost += 1
                continue
            }
            if let service = orders.services[place.service], !service.tracks {
                let number = place.flow.number % service.slots.count
                let slot = service.slots[number]
                let isOwner = slot.owner == backend
                let isRedundant =
                    isOwner ? slot.fallback == backend : slot.former == backend && !slot.pins
                if isRedundant {
                    entries[place] = nil
                    report.redundant += 1
                    continue
                }
                if !isOwner {
                    let empty = SlotSet(count: service.slots.count)
                    report.foreign[place.service, default: empty].insert(number)
                }
            }
            report.entries += 1
            report.flows[backend, default: SweepReport.Flows()].established += 1
        }
        edit(&report)
        return report
    }
}
