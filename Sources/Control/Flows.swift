import Balancing
import Logging

// What becomes of recorded flows as time goes by.

extension Controller {
    /// Goes through the recorded flows, moves slots on, ends drains, and sees to pressure on the
    /// flow table; to be called every second.
    public func tend() throws {
        removeLeftovers()
        try forgiveLatencies()
        let events = try plane.flowEvents()
        notice(events)
        let moving = clock.unsettled
        guard !moving.isEmpty || needsSweep(after: events) else { return }
        let start = uptime()
        let report = try plane.sweep(orders())
        swept = (report, events)
        follow(report)
        try relieve(report)
        endDrains()
        // Before slots move on: one that is named no more may have got an entry since the sweep.
        dismissLeavers(report)
        moveSlots(of: moving, report, sweepStart: start)
        settle()
    }

    /// Whether anybody wants to know how many flows there are: a table in which nothing happens
    /// needs no sweep.
    private func needsSweep(after events: FlowEvents) -> Bool {
        guard let swept, swept.report.entries == 0, swept.events == events else { return true }
        return known.hasNATFlows || !known.drains.isEmpty || !known.maintenances.isEmpty
    }

    private func orders() -> SweepOrders {
        var orders = SweepOrders(lost: lost)
        for (id, index) in places.indices {
            let service = services[index].service
            guard let slots = contents.services[id]?.slots else { continue }
            orders.services[id] = SweepOrders.Service(
                tracks: service.selection.tracks, limits: service.flowLimits, slots: slots)
        }
        return orders
    }

    // MARK: Phases

    private func moveSlots(
        of moving: Set<ServiceID>, _ report: SweepReport, sweepStart: Duration
    ) {
        let hastened = Set(known.drains.values.compactMap(number)).union(
            known.maintenances.keys.compactMap(number))
        let unused = unused(among: moving)
        var refusals: [String] = []
        for id in moving.sorted() {
            guard let index = places.indices[id] else { continue }
            let steps = clock.steps(
                for: id, in: contents,
                by: rules(for: services[index].service, hastened, isUnused: unused.contains(id)),
                foreign: report.foreign[id], sweepStart: sweepStart, at: uptime())
            do { try apply(steps) } catch {
                refusals.append("\(services[index].service.name): \(error)")
            }
        }
        // One line a second, however many services have the same trouble.
        guard let first = refusals.first else { return }
        let others = refusals.count > 1 ? " (and \(refusals.count - 1) others)" : ""
        trouble("slots do not move on, and are tried again: \(first)\(others)")
    }

    /// Those that never had a packet, so that there is nothing to remember: when a service is new
    /// its backends come up one after the other, and slots change hands between them.
    ///
    /// A packet is counted before it looks at its slot. So one that has met a slot as it was before
    /// it changed hands, a second ago, is in these counters.
    private func unused(among moving: Set<ServiceID>) -> Set<ServiceID> {
        let inQuestion = moving.subtracting(used)
        guard !inQuestion.isEmpty, let counters = try? plane.counters() else { return [] }
        let unused = inQuestion.filter { counters.services[$0]?.packets == 0 }
        used.formUnion(inQuestion.subtracting(unused))
        return unused
    }

    private func rules(
        for service: Service, _ hastened: Set<BackendID>, isUnused: Bool
    ) -> PhaseClock.Rules {
        var rules = PhaseClock.Rules(
            hold: service.hold, keepAlive: service.keepAlive, hastened: hastened)
        // With full-nat every flow has a port of its own, and a datagram that is not tracked is a
        // flow of its own: their slots are for new flows only.
        rules.isForNewFlowsOnly =
            isUnused || service.forwarding == .fullNAT
            || service.transport == .udp && !service.tracking
        rules.isUnderPressure = lastPressure.map { uptime() - $0 < service.keepAlive * 2 } ?? false
        return rules
    }

    // MARK: Pressure

    private func notice(_ events: FlowEvents) {
        // What was frozen out has no entry either, and may be about to need one.
        let refused = events.refused + events.frozen
        defer { refusedUntilNow = refused }
        guard refused > refusedUntilNow else { return }
        if lastPressure.map({ uptime() - $0 > .seconds(60) }) ?? true {
            tell(
                .warning, .pressure,
                "the flow table has no room: new flows go where they need none",
                metadata: ["refused": "\(events.refused)"])
        }
        lastPressure = uptime()
    }

    /// Leaves what room there is to flows that would be cut without an entry.
    private func relieve(_ report: SweepReport) throws {
        let isTight = report.entries * 16 >= report.capacity * 15
        let isEased = report.entries * 4 <= report.capacity * 3
        guard report.capacity > 0, isFrozen ? isEased : isTight else { return }
        try plane.freeze(!isFrozen)
        isFrozen.toggle()
        if isFrozen {
            tell(
                .critical, .pressure,
                """
                the flow table is nearly full (\(report.entries) of \(report.capacity) entries): \
                new flows go where they need none
                """)
        } else {
            tell(.notice, .pressure, "the flow table has room again: new flows get entries")
        }
    }
}
