import Balancing
import FoundationEssentials
import HealthChecks
import Packets

/// A service with all that follows from its configuration alone, and with the backends that it has
/// lost from it.
struct WatchedService: Sendable {
    let service: Service
    let members: [SlotTable.Member]
    /// Who owns what when all serve.
    let base: SlotTable
    /// What clients address; worked out once, for a range has thousands.
    let keys: [ServiceKey]
    /// Backends that are not in the configuration any more, and keep their flows until these end.
    var leavers: [Backend]

    /// - Parameters:
    ///   - formerName: How it was called before.
    ///   - legacy: What was there before.
    init(
        _ service: Service, formerly formerName: String?, slotCount: Int, after legacy: Legacy,
        _ tables: inout TableCache
    ) {
        self.service = service
        keys = service.frontend.keys
        leavers = legacy.leavers(of: service, formerly: formerName, with: keys)
        members = service.backends.map {
            SlotTable.Member(address: $0.address, weight: $0.weight)
        }
        base = tables.base(of: members, count: slotCount)
    }

    /// Those of the configuration, in its order, and then those that leave.
    var backends: [Backend] { service.backends + leavers }

    /// Whether the backend at this place among ``backends`` leaves.
    func isLeaving(_ place: Int) -> Bool { place >= service.backends.count }

    /// Nil: it was leaving, and has left.
    func backend(_ probed: ProbedBackend) -> Backend? {
        isLeaving(probed.place)
            ? leavers.first { $0.address == probed.address } : service.backends[probed.place]
    }

    func reference(to backend: Backend) -> BackendReference {
        BackendReference(service.name, backend.name)
    }

    func probeTarget(of backend: Backend) -> ProbeTarget? {
        service.healthCheck(of: backend).map { ProbeTarget(check: $0, address: backend.address) }
    }

    var known: [State.Known] {
        backends.map {
            State.Known(service: service.name, backend: $0.name, address: "\($0.address)")
        }
    }

    /// What is drained of it, after `earlier` was.
    ///
    /// A drain follows its backend's address: neither another name ends it, nor does another
    /// backend that has the name now take it over.
    func drains(after earlier: [Drain], at moment: Date) -> [Drain] {
        let known = Dictionary(
            earlier.filter { $0.service == service.name }.map { ($0.address, $0) },
            uniquingKeysWith: { $1 })
        return backends.enumerated().compactMap { place, backend in
            let isLeaving = isLeaving(place)
            guard var drain = known["\(backend.address)"], isLeaving || !drain.isForLeaving else {
                guard isLeaving else { return nil }
                return Drain(
                    service: service.name, backend: backend.name, address: "\(backend.address)",
                    since: moment, isForLeaving: true)
            }
            drain.backend = backend.name
            // Whoever takes a backend out of the configuration and puts it back wants it to serve.
            drain.isForLeaving = isLeaving
            return drain
        }
    }

    /// Maintenance follows its backend's address, too.
    func maintenances(after earlier: [Maintenance]) -> [Maintenance] {
        let known = Dictionary(
            earlier.filter { $0.service == service.name }.map { ($0.address, $0) },
            uniquingKeysWith: { $1 })
        return backends.compactMap { backend in
            var maintenance = known["\(backend.address)"]
            maintenance?.backend = backend.name
            return maintenance
        }
    }

    /// What the plane is to hold.
    ///
    /// - Parameters:
    ///   - isCut: For each backend whether the flows that it has left are to end.
    func target(
        _ membership: Membership, isCut: [Bool], nextHops: [NextHop?],
        _ tables: inout TableCache
    ) -> Target {
        let readiness = membership.standings.map(\.readiness)
        let ofMembers = Array(readiness.prefix(members.count))
        let (slots, turns) = tables.table(
            base, of: members, for: service.scheduler, ofMembers)
        let weights = weights(ofMembers)
        return Target(
            for: service, keys: keys, selection: service.selection,
            backends: backends.indices.map { index in
                // What is open at a port of a NAT address is found there, whatever slots say.
                let isReached = !isCut[index] || service.forwarding != .fullNAT
                let isLost = membership.standings[index].isLost || isCut[index]
                return Target.Backend(
                    backends[index], nextHop: isReached ? nextHops[index] : nil, isLost: isLost,
                    load: PlaneContents.Load(
                        limit: backends[index].maxConnections ?? 0,
                        weight: index < weights.count ? weights[index] : 1,
                        isClosed: readiness[index] == 0 && !membership.standings[index].standsIn,
                        isLost: isLost))
            },
            slots: slots, turnLength: turns,
            standIns: Set(
                backends.indices.filter { membership.standings[$0].standsIn && !isCut[$0] }))
    }

    /// What costs are divided by, where they are compared.
    private func weights(_ readiness: [UInt16]) -> [UInt16] {
        switch service.scheduler {
        case .maglev, .roundRobin: members.map { max(1, $0.weight) }
        case .leastConnections, .responseTime: SlotTable.costWeights(members, readiness)
        }
    }
}

extension Service {
    /// Whether all of its flows are known.
    var recordsFlows: Bool { selection.tracks || forwarding == .fullNAT }
}

/// What a plane holds of services, and how people called it.
struct Legacy {
    private let contents: PlaneContents
    private let records: [ServiceID: [PlaneContents.Backend]]
    /// By service and address.
    private let names: [String: [String: String]]

    init(_ contents: PlaneContents, names: [State.Known]) {
        self.contents = contents
        records = Dictionary(grouping: contents.backends.values, by: \.service)
        self.names = Dictionary(grouping: names, by: \.service).mapValues { known in
            Dictionary(
                known.map { ($0.address, $0.backend) }, uniquingKeysWith: { first, _ in first })
        }
    }

    /// The backends that the plane holds for a service whose configuration does not have them.
    func leavers(
        of service: Service, formerly formerName: String?, with keys: [ServiceKey]
    ) -> [Backend] {
        guard let id = contents.service(withMostOf: keys) else { return [] }
        let configured = Set(service.backends.map(\.address))
        var taken = Set(service.backends.map(\.name))
        return records[id, default: []]
            .filter { !configured.contains($0.address) }
            .sorted { $0.address < $1.address }
            .map { record in
                let known = formerName.flatMap { names[$0]?["\(record.address)"] }
                // Another backend may have its name now.
                let name = known.flatMap { taken.contains($0) ? nil : $0 } ?? "\(record.address)"
                taken.insert(name)
                return Backend(
                    name: name, address: record.address, weight: 0, port: record.port)
            }
    }
}

extension PlaneContents {
    /// The service that becomes the one with these keys: whose flows that one goes on with.
    func service(withMostOf keys: [ServiceKey]) -> ServiceID? {
        let shared = keys.reduce(into: [ServiceID: Int]()) { shared, key in
            if let entry = self.keys[key] { shared[entry.service, default: 0] += 1 }
        }
        return shared.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
    }
}
