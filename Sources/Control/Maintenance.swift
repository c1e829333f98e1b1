import Balancing
public import FoundationEssentials
import Logging

/// That a backend is being worked on: it gets no new flows, and its health alarms nobody.
public struct Maintenance: Hashable, Sendable, Codable {
    public var service: String
    /// As it is called now; what it is known by is its address.
    public var backend: String
    public var address: String
    public var since: Date
    /// As it was given; nil: none was.
    public var reason: String?
    /// Who ordered it.
    public var by: String

    public init(
        service: String, backend: String, address: String, since: Date, reason: String? = nil,
        by: String
    ) {
        self.service = service
        self.backend = backend
        self.address = address
        self.since = since
        self.reason = reason
        self.by = by
    }

    var reference: BackendReference { BackendReference(service, backend) }
}

extension Controller {
    /// Takes a backend out of service until it is told otherwise.
    ///
    /// - Parameters:
    ///   - reason: For those who look at the status.
    ///   - isForced: Whether it may be the last one that serves.
    public func maintain(
        _ reference: BackendReference, because reason: String?, isForced: Bool = false,
        under order: ChangeOrder
    ) throws {
        try check(order)
        let (index, place) = try find(reference)
        if !isForced, isLast(place, of: index) {
            throw Refusal(
                .conflict,
                "cannot take \(reference) out of service: no other backend of "
                    + "\(reference.service) can have its new flows, which would be dropped; bring "
                    + "another one up first, or say --force")
        }
        let backend = services[index].backends[place]
        var maintenance =
            known.maintenances[reference]
            ?? Maintenance(
                service: reference.service, backend: reference.backend,
                address: "\(backend.address)", since: now(), by: order.requester.name)
        maintenance.reason = reason
        try change(reference, toMaintenance: maintenance, index)
        tell(
            .notice, .maintenance,
            "\(reference) is under maintenance" + (reason.map { ": \($0)" } ?? ""), reference)
    }

    /// Lets a backend serve again.
    public func endMaintenance(
        of reference: BackendReference, under order: ChangeOrder
    ) throws {
        try check(order)
        let (index, _) = try find(reference)
        guard known.maintenances[reference] != nil else {
            throw Refusal(
                .conflict,
                "cannot end the maintenance of \(reference): it is under none; "
                    + "`martlet status` shows which are")
        }
        try change(reference, toMaintenance: nil, index)
        tell(.notice, .maintenance, "\(reference) is under maintenance no more", reference)
    }

    private func change(
        _ reference: BackendReference, toMaintenance maintenance: Maintenance?, _ index: Int
    ) throws {
        let earlier = known.maintenances[reference]
        known.maintenances[reference] = maintenance
        do { try save() } catch {
            known.maintenances[reference] = earlier
            throw error
        }
        known.unsettled.insert(index)
        settle()
    }
}
