import Balancing
import FoundationEssentials
import HealthChecks
import Packets

/// What a controller knows of the services of its configuration, and was told to do with them: all
/// that becomes another when the configuration does.
struct Knowledge {
    let desired: DesiredState
    var services: [WatchedService]
    /// Of the services, by their names.
    let indices: [String: Int]
    /// For whom the results of a probe are.
    let probed: [ProbeTarget: [ProbedBackend]]
    let hasNATFlows: Bool
    /// Backends that leave among them.
    var drains: [BackendReference: Drain] = [:]
    var progress: [BackendReference: DrainProgress] = [:]
    var maintenances: [BackendReference: Maintenance] = [:]
    /// Since when backends could have had new flows without a break.
    var serving: [BackendReference: Date] = [:]
    var health: [BackendReference: Health] = [:]
    /// By the index of the service what was made of its backends last.
    var memberships: [Int: Membership] = [:]
    /// Indices of the services whose targets may differ from what the plane holds.
    var unsettled: Set<Int> = []
    /// When the first of the services will be one of these for its ``Membership/nextChange``.
    var nextChange = Date.distantFuture
    /// Why the last attempt to settle them was refused, so that each refusal is told once.
    var refusals: [Int: String] = [:]

    /// Nothing is known yet but what the plane shows and an earlier controller has left.
    ///
    /// A backend that has slots is taken for up. So a restart empties no pool.
    init(
        _ desired: DesiredState, slotCount: Int, in contents: PlaneContents, after state: State,
        at moment: Date, _ tables: inout TableCache
    ) {
        let former = FormerNames(
            state.services, names: Set(state.known.map(\.service)), in: desired)
        self.init(
            desired, slotCount: slotCount, in: contents, names: state.known, former, &tables)
        for watched in services {
            let impression = FirstImpression(
                of: watched, in: contents, because: "served before this controller started",
                at: moment)
            for backend in watched.service.backends {
                let reference = watched.reference(to: backend)
                let known = impression.health(of: backend)
                health[reference] = known
                // It may have served for long; who has just begun would start slowly.
                if known.state == .up { serving[reference] = .distantPast }
            }
            takeOrders(
                for: watched, formerly: former[watched.service], state.drains,
                state.maintenances, at: moment)
        }
    }

    /// What is known goes on being known, of services and backends that stay.
    init(
        _ desired: DesiredState, slotCount: Int, in contents: PlaneContents,
        after earlier: Knowledge, at moment: Date, _ tables: inout TableCache
    ) {
        let names = earlier.services.flatMap(\.known)
        for watched in earlier.services { tables.keep(watched.base, of: watched.members) }
        let formerNames = FormerNames(
            earlier.names, names: Set(earlier.indices.keys), in: desired)
        self.init(
            desired, slotCount: slotCount, in: contents, names: names, formerNames, &tables)
        for (index, watched) in services.enumerated() {
            let formerName = formerNames[watched.service]
            if let former = formerName.flatMap({ earlier.indices[$0] }) {
                memberships[index] = earlier.memberships[former]
                take(watched, from: earlier.services[former], earlier)
            }
            let strangers = watched.service.backends.filter {
                health[watched.reference(to: $0)] == nil
            }
            if !strangers.isEmpty {
                let impression = FirstImpression(
                    of: watched, in: contents, because: "served under another configuration",
                    at: moment)
                for backend in strangers {
                    health[watched.reference(to: backend)] = impression.health(of: backend)
                }
            }
            takeOrders(
                for: watched, formerly: formerName, Array(earlier.drains.values),
                Array(earlier.maintenances.values), at: moment)
        }
    }

    private init(
        _ desired: DesiredState, slotCount: Int, in contents: PlaneContents, names: [State.Known],
        _ former: FormerNames, _ tables: inout TableCache
    ) {
        self.desired = desired
        let legacy = Legacy(contents, names: names)
        let services = desired.services.map {
            WatchedService(
                $0, formerly: former[$0], slotCount: slotCount, after: legacy, &tables)
        }
        self.services = services
        indices = Dictionary(
            services.enumerated().map { ($1.service.name, $0) }, uniquingKeysWith: { $1 })
        probed = probedBackends(of: services)
        hasNATFlows = services.contains { $0.service.forwarding == .fullNAT }
    }

    /// What an operator has ordered for it; who leaves the configuration drains.
    func administration(of backend: BackendReference) -> Membership.Administration {
        if maintenances[backend] != nil { return .maintenance }
        return drains[backend] == nil ? .none : .draining
    }

    /// How services are called, by what clients address.
    var names: [String: String] {
        Dictionary(
            services.map { ("\($0.service.frontend)", $0.service.name) },
            uniquingKeysWith: { first, _ in first })
    }

    /// What was known of the backends of the same address, as far as they are asked the same.
    private mutating func take(
        _ watched: WatchedService, from former: WatchedService, _ earlier: Knowledge
    ) {
        let backends = Dictionary(
            former.backends.map { ($0.address, $0) }, uniquingKeysWith: { first, _ in first })
        for backend in watched.backends {
            guard let before = backends[backend.address] else { continue }
            let (reference, old) = (watched.reference(to: backend), former.reference(to: before))
            serving[reference] = earlier.serving[old]
            progress[reference] = earlier.progress[old]
            if watched.probeTarget(of: backend) == former.probeTarget(of: before) {
                health[reference] = earlier.health[old]
            }
        }
    }

    /// What was ordered stays ordered, and who leaves drains.
    private mutating func takeOrders(
        for watched: WatchedService, formerly name: String?, _ drains: [Drain],
        _ maintenances: [Maintenance], at moment: Date
    ) {
        for leaver in watched.leavers where health[watched.reference(to: leaver)] == nil {
            health[watched.reference(to: leaver)] = Health(
                state: .up, because: "not in the configuration any more", since: moment)
        }
        let service = watched.service.name
        let drains = drains.filter { $0.service == name }.map { $0.of(service: service) }
        for drain in watched.drains(after: drains, at: moment) {
            self.drains[drain.reference] = drain
        }
        let maintenances = maintenances.filter { $0.service == name }
            .map { $0.of(service: service) }
        for maintenance in watched.maintenances(after: maintenances) {
            self.maintenances[maintenance.reference] = maintenance
        }
    }
}

/// How services were called before: one is known by what clients address, and if that is new, by
/// its name, unless that was another one's that is still there.
struct FormerNames {
    private let names: Set<String>
    private let byFrontend: [String: String]

    /// - Parameters:
    ///   - byFrontend: `192.168.1.100:80/tcp`: `web`
    ///   - names: All that there were.
    ///   - desired: The services of which somebody will want to know.
    init(_ byFrontend: [String: String], names: Set<String>, in desired: DesiredState) {
        self.byFrontend = byFrontend
        self.names = names.subtracting(
            desired.services.compactMap { byFrontend["\($0.frontend)"] })
    }

    /// Nil: there was none.
    subscript(service: Service) -> String? {
        byFrontend["\(service.frontend)"] ?? (names.contains(service.name) ? service.name : nil)
    }
}

extension Drain {
    fileprivate func of(service: String) -> Drain {
        var drain = self
        drain.service = service
        return drain
    }
}

extension Maintenance {
    fileprivate func of(service: String) -> Maintenance {
        var maintenance = self
        maintenance.service = service
        return maintenance
    }
}

/// What the backends of a service are taken for before they were asked.
private struct FirstImpression {
    /// Nil: the service is new, or nobody is asked.
    private let owners: Set<IPAddress>?
    private let isChecked: Bool
    private let reason: String
    private let moment: Date

    /// - Parameter reason: Why one that owns slots does.
    init(
        of watched: WatchedService, in contents: PlaneContents, because reason: String,
        at moment: Date
    ) {
        isChecked = watched.service.healthCheck != nil
        self.reason = reason
        self.moment = moment
        guard isChecked, let installed = contents.service(withMostOf: watched.keys) else {
            owners = nil
            return
        }
        let numbers = Set((contents.services[installed]?.slots ?? []).lazy.compactMap(\.owner))
        owners = Set(numbers.compactMap { contents.backends[$0]?.address })
    }

    func health(of backend: Backend) -> Health {
        guard isChecked else { return Health(state: .up, because: "not checked", since: moment) }
        return owners?.contains(backend.address) == true
            ? Health(state: .up, because: reason, since: moment)
            : Health(state: .unknown, because: "not probed yet", since: moment)
    }
}

/// For whom the result of a probe is.
struct ProbedBackend {
    /// As indices, of one that leaves after those of the configuration.
    let service: Int
    let place: Int
    /// Leavers change places when others have left.
    let address: IPAddress
}

private func probedBackends(
    of services: [WatchedService]
) -> [ProbeTarget: [ProbedBackend]] {
    var probed: [ProbeTarget: [ProbedBackend]] = [:]
    for (index, watched) in services.enumerated() {
        for (place, backend) in watched.backends.enumerated() {
            guard let target = watched.probeTarget(of: backend) else { continue }
            probed[target, default: []].append(
                ProbedBackend(service: index, place: place, address: backend.address))
        }
    }
    return probed
}
