import Balancing
import FoundationEssentials
import Packets

// What a change of the configuration would do, worked out on copies.

extension Controller {
    /// Plans the change as if new backends passed their checks: what moves then is what people want
    /// to know beforehand.
    func report(on draft: Draft) throws -> PlanReport {
        let desired = draft.state
        var (fields, services) = differences(from: known.desired, to: desired)
        var (slots, flows) = (PlanReport.Slots(), PlanReport.Flows())
        if desired != known.desired {
            let next = Knowledge(
                desired, slotCount: slotCount, in: contents, after: known, at: now(), &tables)
            let fates = try fates(under: next)
            (slots, flows) = (fates.slots(of: nil), fates.flows(of: nil))
            for index in services.indices {
                let former = services[index].formerName ?? services[index].name
                services[index].slots = fates.slots(of: former)
                services[index].flows = fates.flows(of: former)
            }
            if fields.isEmpty && services.isEmpty {
                fields = [PlanReport.Field("order", before: "as it is", after: "another one")]
            }
        }
        var report = PlanReport(
            generation: configuration.generation.number, token: "", fields: fields,
            services: services, slots: slots, flows: flows)
        report.dropped = draft.dropped
        report.token = try token(of: report)
        return report
    }

    /// Flows come and go all the time: how many there are is no part of what was agreed to.
    private func token(of report: PlanReport) throws -> String {
        var report = report
        report.flows = PlanReport.Flows()
        for index in report.services.indices { report.services[index].flows = PlanReport.Flows() }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let digits = Fingerprint(of: try encoder.encode(report)).description.prefix(8)
        return "\(report.generation)-\(digits)"
    }

    private func fates(under next: Knowledge) throws -> Fates {
        let moment = now()
        let targets = next.services.map { watched in
            target(
                watched,
                Membership(of: watched.service, presumed(of: watched, next), at: moment),
                nextHops: watched.backends.map { presumedHop(to: $0.address) },
                drains: next.drains)
        }
        let plan: Plan
        do {
            plan = try Plan(
                from: contents, to: targets, others: .removed, pool: wantedPool(of: next.desired))
        } catch let error as Plan.Exhausted {
            throw Refusal(.conflict, "\(error)")
        }
        var after = contents
        for step in plan.steps { after.apply(step) }
        return Fates(
            before: contents, after: after, loads: try plane.loads(),
            services: places.indices.mapValues { services[$0].service },
            regrouped: regrouped(in: next), used: try usedServices())
    }

    /// What is known of backends, with those that nobody has asked yet as well and reached.
    private func presumed(of watched: WatchedService, _ next: Knowledge) -> [Membership.Condition] {
        watched.backends.enumerated().map { place, backend in
            let reference = watched.reference(to: backend)
            let health = next.health[reference]
            let state = health?.state ?? .unknown
            return Membership.Condition(
                backend, health: state == .unknown ? .up : state,
                isSilent: health?.isSilent ?? false,
                hasNextHop: presumedHop(to: backend.address) != nil,
                administration: next.administration(of: reference),
                isLeaving: watched.isLeaving(place))
        }
    }

    private func presumedHop(to address: IPAddress) -> NextHop? {
        switch reachability[address] {
        case .reachable(let hop): return hop
        case .unreachable: return nil
        case nil: return .presumed(from: address)
        }
    }

    /// Services whose flows are found by other keys then: none of them is.
    private func regrouped(in next: Knowledge) -> Set<String> {
        Set(
            next.services.compactMap { watched in
                guard let index = known.indices[watched.service.name] else { return nil }
                let before = services[index].service
                return before.affinity == watched.service.affinity ? nil : before.name
            })
    }

    private func usedServices() throws -> Set<ServiceID> {
        let counters = try plane.counters()
        return Set(counters.services.filter { $0.value.packets > 0 }.keys)
    }
}

extension NextHop {
    /// Stands for one that is found later.
    fileprivate static func presumed(from source: IPAddress) -> NextHop {
        NextHop(
            egress: Egress(index: 0, name: "", address: MACAddress(0), mtu: 1500),
            neighbour: MACAddress(0), source: source)
    }
}

/// What becomes of slots and flows from one content of a plane to another.
struct Fates {
    private var slots: [String: PlanReport.Slots] = [:]
    private var flows: [String: PlanReport.Flows] = [:]

    /// - Parameters:
    ///   - services: As they are called before.
    ///   - regrouped: Names of those whose flows are not found any more.
    ///   - used: Those that have had packets.
    init(
        before: PlaneContents, after: PlaneContents, loads: [BackendID: MeasuredLoad],
        services: [ServiceID: Service], regrouped: Set<String>, used: Set<ServiceID>
    ) {
        for (id, service) in services {
            guard let present = before.services[id]?.slots,
                let next = after.services[id]?.slots
            else { continue }
            let moved =
                present == next
                ? 0 : zip(present, next).count { $0.owner != nil && $0.owner != $1.owner }
            slots[service.name] = PlanReport.Slots(moved: moved, of: present.count)
        }
        for (number, backend) in before.backends {
            guard let service = services[backend.service] else { continue }
            let count = Int(loads[number]?.flows ?? 0)
            var fate = flows[service.name] ?? PlanReport.Flows()
            let goesOn = after.backends[number] != nil && !regrouped.contains(service.name)
            if goesOn {
                fate.stay += count
            } else {
                fate.break += count
                if !service.recordsFlows && used.contains(backend.service) {
                    fate.breaksUncounted = true
                }
            }
            flows[service.name] = fate
        }
    }

    /// - Parameter service: Nil: of all.
    func slots(of service: String?) -> PlanReport.Slots {
        guard let service else {
            return slots.values.reduce(into: PlanReport.Slots()) {
                $0 = PlanReport.Slots(moved: $0.moved + $1.moved, of: $0.count + $1.count)
            }
        }
        return slots[service] ?? PlanReport.Slots()
    }

    func flows(of service: String?) -> PlanReport.Flows {
        guard let service else {
            return flows.values.reduce(into: PlanReport.Flows()) { sum, flows in
                sum.stay += flows.stay
                sum.move += flows.move
                sum.break += flows.break
                sum.breaksUncounted = sum.breaksUncounted || flows.breaksUncounted
            }
        }
        return flows[service] ?? PlanReport.Flows()
    }
}
