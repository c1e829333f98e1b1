import Balancing
import Packets

/// Under which numbers a plane holds what the configuration names.
struct Places {
    /// By the index of a service; nil: packets do not find it yet.
    let services: [ServiceID?]
    let indices: [ServiceID: Int]
    private let backends: [ServiceID: [IPAddress: BackendID]]

    init(_ watched: [WatchedService], in contents: PlaneContents) {
        services = watched.map { contents.service(behind: $0.service.frontend) }
        let found = services.enumerated().compactMap { index, id in id.map { ($0, index) } }
        indices = Dictionary(found, uniquingKeysWith: { first, _ in first })
        backends = contents.backends.reduce(into: [:]) { numbers, backend in
            let known = numbers[backend.value.service]?[backend.value.address]
            numbers[backend.value.service, default: [:]][backend.value.address] = min(
                known ?? backend.key, backend.key)
        }
    }

    /// The numbers of a service's backends, by their addresses.
    func backends(of index: Int) -> [IPAddress: BackendID] {
        services[index].flatMap { backends[$0] } ?? [:]
    }

    func backend(_ address: IPAddress, of index: Int) -> BackendID? {
        services[index].flatMap { backends[$0]?[address] }
    }
}

extension Step {
    /// Whether ``Places`` may be others after it.
    var movesPlaces: Bool {
        switch self {
        case .addBackend, .removeBackend, .setKeys, .removeKeys: true
        default: false
        }
    }
}
