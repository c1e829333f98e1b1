import Balancing
import Control
import FoundationEssentials

/// The health of a backend, alone.
struct BackendHealth: Hashable, Sendable, Codable {
    var service: String
    var backend: String
    var address: String
    var state: String
    var reason: String
    var since: Date
    /// In microseconds; nil: not known.
    var latency: UInt32?
    var way: Status.Way

    static func all(in status: Status) -> [BackendHealth] {
        status.services.flatMap { service in
            service.backends.map { backend in
                BackendHealth(
                    service: service.name, backend: backend.name, address: backend.address,
                    state: backend.health.state.rawValue, reason: backend.health.reason,
                    since: backend.health.since, latency: backend.latency, way: backend.way)
            }
        }
    }
}

extension Generation {
    /// What others are told: the controller's own file is known by a word that only it needs.
    var told: Generation {
        var generation = self
        generation.ownFile = nil
        return generation
    }
}

/// What operators have ordered for a backend.
struct BackendOrders: Hashable, Sendable, Codable {
    var service: String
    var backend: String
    var drain: Status.Drain?
    var maintenance: Status.Maintenance?

    /// Of those for which anything is.
    static func all(in status: Status) -> [BackendOrders] {
        status.services.flatMap { service in
            service.backends.compactMap { backend in
                guard backend.drain != nil || backend.maintenance != nil else { return nil }
                return BackendOrders(
                    service: service.name, backend: backend.name, drain: backend.drain,
                    maintenance: backend.maintenance)
            }
        }
    }
}
