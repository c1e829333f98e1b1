import Balancing
public import FoundationEssentials
import Logging

// How backends are drained, and what becomes of those that have left the configuration.

extension Controller {
    /// Gives a backend no new flows from now on. What was ordered before is replaced.
    ///
    /// - Parameters:
    ///   - deadline: When the flows that it has left are cut; nil: never.
    ///   - isForced: Whether it may be the last one that serves.
    ///   - order: Under which conditions; nil: in any case.
    public func drain(
        _ reference: BackendReference, deadline: Date? = nil, isForced: Bool = false,
        under order: ChangeOrder? = nil
    ) throws {
        if let order { try check(order) }
        let (index, place) = try find(reference)
        let moment = now()
        if let deadline, deadline <= moment {
            throw Refusal(
                .invalid,
                "cannot drain \(reference): the deadline \(text(deadline)) has passed; "
                    + "give one in the future, or none to wait for the last flow")
        }
        if !isForced, isLast(place, of: index) {
            throw Refusal(
                .conflict,
                "cannot drain \(reference): no other backend of \(reference.service) can have "
                    + "its new flows, which would be dropped; bring another one up first, "
                    + "or say --force")
        }
        var drain =
            known.drains[reference]
            ?? Drain(
                service: reference.service, backend: reference.backend,
                address: "\(services[index].backends[place].address)", since: moment)
        // What is cut can't be cut later.
        if drain.cut == nil { drain.deadline = deadline }
        if !services[index].isLeaving(place) { drain.isForLeaving = false }
        try change(reference, to: drain, index)
        let end =
            (drain.cut == nil ? deadline : nil).map {
                ", and cuts the flows that are left at \(text($0))"
            } ?? ""
        tell(.notice, .drain, "\(reference) drains\(end)", reference)
    }

    /// Gives a backend new flows again.
    public func undrain(_ reference: BackendReference, under order: ChangeOrder? = nil) throws {
        if let order { try check(order) }
        let (index, place) = try find(reference)
        if services[index].isLeaving(place) {
            throw Refusal(
                .conflict,
                "cannot undrain \(reference): it is not in the configuration any more; "
                    + "add it there")
        }
        guard known.drains[reference] != nil else {
            throw Refusal(
                .conflict,
                "cannot undrain \(reference): it is not drained; `martlet status` shows which are")
        }
        try change(reference, to: nil, index)
        known.progress[reference] = nil
        tell(.notice, .drain, "\(reference) drains no more", reference)
    }

    /// First the file: an order that is followed outlives the controller.
    private func change(_ reference: BackendReference, to drain: Drain?, _ index: Int) throws {
        let earlier = known.drains[reference]
        known.drains[reference] = drain
        do { try save() } catch {
            known.drains[reference] = earlier
            throw error
        }
        known.unsettled.insert(index)
        settle()
    }

    func find(_ reference: BackendReference) throws -> (index: Int, place: Int) {
        guard let index = known.indices[reference.service] else {
            throw Refusal(
                .unknown,
                "there is no service \(reference.service); "
                    + choices("services", services.map(\.service.name)))
        }
        let names = services[index].backends.map(\.name)
        guard let place = names.firstIndex(of: reference.backend) else {
            throw Refusal(
                .unknown,
                "\(reference.service) has no backend \(reference.backend); "
                    + choices("backends", names))
        }
        return (index, place)
    }

    /// Whether nobody could have new flows of the service any more without this backend, which can.
    func isLast(_ place: Int, of index: Int) -> Bool {
        let (watched, moment) = (services[index], now())
        var conditions = conditions(of: watched, at: moment)
        func serves() -> Bool {
            Membership(of: watched.service, conditions, at: moment).standings
                .contains { $0.readiness > 0 }
        }
        guard conditions[place].administration == .none, !conditions[place].isLeaving, serves()
        else { return false }
        conditions[place].administration = .draining
        return !serves()
    }

    // MARK: As time goes by

    /// Takes down how many flows are left to those that drain.
    func follow(_ report: SweepReport) {
        let moment = now()
        for (reference, drain) in known.drains {
            guard let number = number(of: drain) else { continue }
            let flows = report.flows[number] ?? SweepReport.Flows()
            known.progress[reference, default: DrainProgress()].take(
                flows.active, closing: flows.closing, at: moment)
        }
    }

    /// Cuts what is left of drains whose deadline has come, and has just been counted.
    func endDrains() {
        let moment = now()
        let due = known.drains.filter { $0.value.isDue(at: moment) }
        guard !due.isEmpty else { return }
        for (reference, drain) in due {
            let left = known.progress[reference]?.left ?? 0
            known.drains[reference]?.cut = left
            if let index = known.indices[drain.service] { known.unsettled.insert(index) }
        }
        settle()
        for reference in due.keys.sorted() {
            let count = known.drains[reference]?.cut ?? 0
            tell(
                .warning, .drain, "\(reference): its drain ends, flows that are cut: \(count)",
                reference)
        }
        do { try save() } catch { trouble("\(error)") }
    }

    /// Lets those go that have left the configuration and have no flow any more.
    func dismissLeavers(_ report: SweepReport) {
        var gone: [BackendReference] = []
        for index in services.indices where !services[index].leavers.isEmpty {
            let drained = services[index].leavers.filter { leaver in
                guard let number = places.backend(leaver.address, of: index) else { return true }
                let isCut = known.drains[services[index].reference(to: leaver)]?.cut != nil
                return isCut || (report.flows[number]?.all ?? 0) == 0
            }
            guard !drained.isEmpty else { continue }
            let named = backendsNamed(by: index)
            for leaver in drained {
                if let number = places.backend(leaver.address, of: index), named[number] {
                    continue
                }
                let reference = services[index].reference(to: leaver)
                known.services[index].leavers.removeAll { $0.address == leaver.address }
                known.drains[reference] = nil
                known.maintenances[reference] = nil
                known.progress[reference] = nil
                known.unsettled.insert(index)
                gone.append(reference)
            }
        }
        guard !gone.isEmpty else { return }
        settle()
        for reference in gone {
            tell(
                .notice, .drain, "\(reference) has no flows any more, and is removed", reference)
        }
        do { try save() } catch { trouble("\(error)") }
    }

    /// Those that slots of a service name.
    private func backendsNamed(by index: Int) -> BackendSet {
        var named = BackendSet()
        guard let id = places.services[index] else { return named }
        for slot in contents.services[id]?.slots ?? [] {
            if let owner = slot.owner { named.insert(owner) }
            if let former = slot.former { named.insert(former) }
        }
        return named
    }

    /// The plane's number of the backend that drains; nil: it has none.
    func number(of drain: Drain) -> BackendID? { number(of: drain.reference) }

    func number(of reference: BackendReference) -> BackendID? {
        guard let index = known.indices[reference.service],
            let backend = services[index].backends.first(where: { $0.name == reference.backend })
        else { return nil }
        return places.backend(backend.address, of: index)
    }
}

extension Drain {
    fileprivate func isDue(at moment: Date) -> Bool {
        guard cut == nil, let deadline else { return false }
        return deadline <= moment
    }
}

/// A set of backends, a place for each number.
private struct BackendSet {
    private var places = [Bool](repeating: false, count: 1 << 15)

    mutating func insert(_ backend: BackendID) { places[Int(backend.number)] = true }

    subscript(backend: BackendID) -> Bool { places[Int(backend.number)] }
}

/// `2030-01-31T12:00:00Z`
private func text(_ moment: Date) -> String { moment.formatted(.iso8601) }

/// What could have been meant, as far as it fits a line or two.
func choices(_ kind: String, _ names: [String]) -> String {
    let most = 12
    let others = names.count > most ? " and \(names.count - most) others" : ""
    return names.isEmpty
        ? "there are no \(kind)"
        : "\(kind) are \(names.prefix(most).joined(separator: ", "))\(others)"
}
