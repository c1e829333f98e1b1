import Balancing
import FoundationEssentials
import Packets

// What keeps a backend from new flows.

extension Controller {
    /// What keeps a backend from new flows, or from some of them, and what ends that.
    public func exclusion(of reference: BackendReference) throws -> Exclusion {
        let (index, place) = try find(reference)
        let (watched, moment) = (services[index], now())
        let backend = watched.backends[place]
        let conditions = conditions(of: watched, at: moment)
        let membership = Membership(of: watched.service, conditions, at: moment)
        let number = places.backend(backend.address, of: index)
        let slots = places.services[index].flatMap { contents.services[$0]?.slots } ?? []
        let owned = number.map { number in slots.count { $0.owner == number } } ?? 0
        var facts = ExclusionFacts(
            reference: reference, service: watched.service, condition: conditions[place],
            membership: membership, standing: membership.standings[place], now: moment)
        facts.share = slots.isEmpty ? 0 : Double(owned) / Double(slots.count)
        if let known = health(of: reference) {
            (facts.finding, facts.since) = (known.finding, known.since)
        }
        facts.obstacle = Status.Way(reachability[backend.address]).obstacle
        facts.drain = known.drains[reference]
        facts.maintenance = known.maintenances[reference]
        facts.flows = try number.flatMap { try plane.loads()[$0]?.flows }
        facts.refusal = known.refusals[index]
        return Exclusion(facts)
    }
}

/// All that may keep a backend from new flows.
struct ExclusionFacts {
    var reference: BackendReference
    var service: Service
    var condition: Membership.Condition
    var membership: Membership
    /// Of the membership, that of this backend.
    var standing: Membership.Standing
    var now: Date
    /// Of all slots, as the plane holds them.
    var share = 0.0
    /// Of the last probe, and since when it has been in its state.
    var finding = "not probed yet"
    var since: Date?
    /// Why there is no way to it.
    var obstacle: String?
    var drain: Drain?
    var maintenance: Maintenance?
    /// Open ones.
    var flows: UInt32?
    /// Why the plane is not up to date.
    var refusal: String?
}

extension Exclusion {
    init(_ facts: ExclusionFacts) {
        let isFull = facts.limit.map(\.isReached) ?? false
        let reasons = [
            facts.leaving, facts.administration, facts.weight, facts.health, facts.nextHop,
            facts.backup, facts.limit?.reason, facts.slowStart, facts.panic, facts.notUpToDate,
        ].compactMap(\.self)
        let isOut = facts.share == 0 || isFull
        self.init(
            service: facts.reference.service, backend: facts.reference.backend,
            share: facts.share, isOut: isOut,
            reasons: reasons.isEmpty && isOut ? [facts.delay] : reasons)
    }
}

// MARK: - The reasons

extension ExclusionFacts {
    fileprivate typealias Reason = Exclusion.Reason

    fileprivate var leaving: Reason? {
        guard condition.isLeaving else { return nil }
        return Reason(
            "leaving",
            "it is not in the configuration any more: it gets new flows when it is put back there, "
                + "and is removed when its last flow has ended")
    }

    fileprivate var administration: Reason? {
        switch condition.administration {
        // Whoever leaves drains by itself.
        case .draining where !condition.isLeaving:
            let start = drain.map { " since \($0.since.formatted(.iso8601))" } ?? ""
            return Reason("drain", "it drains\(start): `martlet undrain \(reference)` ends that")
        case .maintenance:
            let start = maintenance.map { " since \($0.since.formatted(.iso8601))" } ?? ""
            let cause = maintenance?.reason.map { " (\($0))" } ?? ""
            return Reason(
                "maintenance",
                "it is under maintenance\(start)\(cause): `martlet maintenance \(reference) off` "
                    + "ends that")
        case .none, .draining: return nil
        }
    }

    fileprivate var weight: Reason? {
        guard condition.backend.weight == 0, !condition.isLeaving else { return nil }
        return Reason("weight", "its weight is 0: it gets new flows when it has another one")
    }

    fileprivate var health: Reason? {
        guard let check = service.healthCheck(of: condition.backend) else { return nil }
        let ignored = membership.isPanicking ? "; that is ignored, for the service panics" : ""
        switch condition.health {
        case .up: return nil
        case .unknown:
            return Reason("health", "it was not probed yet: the first probe decides\(ignored)")
        case .down:
            let silence =
                standing.isLost ? "; it gives no answer at all, so its flows are given up" : ""
            return Reason(
                "health",
                "it is down\(text(since: since, now)): \(finding)\(silence); "
                    + "\(successes(check.rise)) up\(ignored)")
        }
    }

    fileprivate var nextHop: Reason? {
        guard !condition.hasNextHop else { return nil }
        return Reason(
            "next hop",
            "there is no way to \(condition.backend.address): "
                + "\(obstacle ?? "none is known"); it gets new flows as soon as there is one")
    }

    fileprivate var backup: Reason? {
        guard condition.backend.isBackup, !membership.usesBackup else { return nil }
        return Reason("backup", "it is a backup: it gets new flows while no other backend can")
    }

    fileprivate var limit: (isReached: Bool, reason: Reason?)? {
        guard let most = condition.backend.maxConnections, let flows else { return nil }
        guard flows >= most else { return (false, nil) }
        let text = "it has \(flows) flows, and may have \(most): it gets new ones when some end"
        return (true, Reason("limit", text))
    }

    fileprivate var slowStart: Reason? {
        guard standing.readiness > 0, standing.readiness < Membership.fully else { return nil }
        let percent = Double(standing.readiness) * 100 / Double(Membership.fully)
        let length = service.slowStart.map { " of \(seconds($0)) s" } ?? ""
        return Reason(
            "slow start",
            "it starts slowly, and gets \(percent) % of its share by now: all of it after "
                + "its slow start\(length)")
    }

    /// That is no reason to be out: it is why a backend that is down is not.
    fileprivate var panic: Reason? {
        guard membership.isPanicking, standing.readiness > 0 else { return nil }
        let threshold = service.panicThreshold.map { " than \($0) %" } ?? ""
        return Reason(
            "panic",
            "fewer backends\(threshold) are up, so that all get new flows whatever their health: "
                + "until enough are up again")
    }

    fileprivate var notUpToDate: Reason? {
        refusal.map {
            Reason(
                "refusal",
                "the kernel refuses a change of the service, which is tried again every second: "
                    + $0)
        }
    }

    /// When nothing else is known.
    fileprivate var delay: Reason {
        standing.readiness > 0
            ? Reason(
                "share",
                "it may have new flows, and owns no slot: it was given some within the last "
                    + "second, or its weight is too small beside those of the others")
            : Reason("share", "others have the new flows: \(others)")
    }

    private var others: String {
        membership.usesBackup
            ? "the backups, while no other backend is up" : "it is none of those that serve"
    }
}

/// ` for 4 min`
private func text(since moment: Date?, _ now: Date) -> String {
    guard let moment else { return "" }
    let seconds = max(0, Int(now.timeIntervalSince(moment)))
    switch seconds {
    case ..<120: return " for \(seconds) s"
    case ..<7200: return " for \(seconds / 60) min"
    case ..<172_800: return " for \(seconds / 3600) h"
    default: return " for \(seconds / 86400) d"
    }
}

private func successes(_ rise: Int) -> String {
    rise == 1 ? "one success brings it" : "\(rise) successes in a row bring it"
}

private func seconds(_ duration: Duration) -> Int64 { duration.components.seconds }
