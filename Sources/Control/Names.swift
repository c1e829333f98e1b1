public import Balancing
public import Packets

/// How people call a service and its backends.
public struct Names: Hashable, Sendable {
    public var service: String
    public var backends: [IPAddress: String]

    public init(_ service: Service) {
        self.service = service.name
        backends = Dictionary(
            uniqueKeysWithValues: service.backends.map { ($0.address, $0.name) })
    }

    /// With those that leave it.
    init(_ watched: WatchedService) {
        self.init(watched.service)
        for leaver in watched.leavers { backends[leaver.address] = leaver.name }
    }
}

extension Controller {
    /// How people call what the plane knows by numbers.
    public func names() -> [ServiceID: Names] { places.indices.mapValues { Names(services[$0]) } }
}
