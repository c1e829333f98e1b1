import Balancing
import FoundationEssentials

// What a controller tells of what it knows.

extension Controller {
    /// What is known now. `interfaces` is the one thing that a controller does not know.
    public func status(on interfaces: [Status.Interface]) throws -> Status {
        let reading = try Reading(taken: now(), counters: plane.counters())
        let meter = Meter(reading, since: baseline)
        let loads = try plane.loads()
        return Status(
            taken: reading.taken, interval: meter.interval, interfaces: interfaces,
            services: services.indices.map { status(of: $0, loads, meter, at: reading.taken) },
            flowTable: Status.FlowTable(
                entries: swept?.report.entries ?? 0, capacity: swept?.report.capacity ?? 0,
                events: try plane.flowEvents(), isFrozen: isFrozen,
                states: swept.map { Status.FlowTable.States($0.report) } ?? .init()),
            configuration: configurationStatus())
    }

    /// What was counted until now.
    public func counters() throws -> CountersReport {
        let reading = try Reading(taken: now(), counters: plane.counters())
        let names = places.indices.mapValues { Names(services[$0]) }
        return CountersReport(Meter(reading, since: baseline), of: contents, names: names)
    }

    private func status(
        of index: Int, _ loads: [BackendID: MeasuredLoad], _ meter: Meter, at moment: Date
    ) -> Status.Service {
        let (watched, membership) = (services[index], known.memberships[index])
        let (id, numbers) = (places.services[index], places.backends(of: index))
        let slots = id.flatMap { contents.services[$0]?.slots } ?? []
        let census = SlotCensus(slots)
        var service = Status.Service(
            watched.service, census, membership: membership,
            traffic: id.map { meter.traffic(of: $0) } ?? Traffic(Count()),
            backends: watched.backends.enumerated().map { place, backend in
                let number = numbers[backend.address]
                let share = number.map { census.owned(by: $0) } ?? 0
                let readiness = membership?.standings[place].readiness ?? 0
                var told = Status.Backend(
                    name: backend.name, address: "\(backend.address)", port: backend.port,
                    weight: backend.weight, health: condition(of: backend, in: watched, at: moment),
                    way: Status.Way(reachability[backend.address]), slots: share,
                    share: slots.isEmpty ? 0 : Double(share) / Double(slots.count),
                    readiness: Double(readiness) / Double(Membership.fully),
                    maxConnections: backend.maxConnections, isBackup: backend.isBackup,
                    isLeaving: watched.isLeaving(place),
                    drain: drainStatus(of: watched.reference(to: backend), number, census),
                    traffic: number.map { meter.traffic(of: $0) } ?? Traffic(Count()))
                let load = number.flatMap { loads[$0] }
                told.maintenance = known.maintenances[watched.reference(to: backend)].map {
                    Status.Maintenance(since: $0.since, reason: $0.reason, by: $0.by)
                }
                told.weightOfFile = configuration.weightOfFile(
                    of: watched.reference(to: backend), now: backend.weight)
                if watched.service.recordsFlows { told.flows = load.map { Int($0.flows) } }
                told.latency = latency(of: backend, in: watched, load)
                return told
            })
        service.refusal = known.refusals[index]
        return service
    }

    private func condition(
        of backend: Backend, in watched: WatchedService, at moment: Date
    ) -> Status.Condition {
        let health = known.health[watched.reference(to: backend)]
        return Status.Condition(
            state: health?.state ?? .unknown, reason: health?.finding ?? "not probed yet",
            since: health?.since ?? moment)
    }

    private func latency(
        of backend: Backend, in watched: WatchedService, _ load: MeasuredLoad?
    ) -> UInt32? {
        watched.service.selection.timesAnswers
            ? load?.latency : known.health[watched.reference(to: backend)]?.latency
    }

    private func drainStatus(
        of reference: BackendReference, _ number: BackendID?, _ census: SlotCensus
    ) -> Status.Drain? {
        guard let drain = known.drains[reference] else { return nil }
        let seen = known.progress[reference]
        let isNamed = number.map(census.names) ?? false
        return Status.Drain(
            since: drain.since, deadline: drain.deadline, cut: drain.cut, flowsLeft: seen?.left,
            secondsLeft: seen?.estimate,
            isOver: drain.cut != nil || number == nil || !isNamed && seen?.isEmpty == true)
    }
}
