public import Balancing

/// All that a desired state is made of: a file, and what was ordered over the API.
///
/// Each part is kept as it was written, and all of them are read together: so one set of rules
/// holds for all, whatever way it came.
public struct Layers: Hashable, Sendable, Codable {
    /// Of the file.
    public var text: String
    /// What error messages call it.
    public var file: String
    /// Services that the file has not, by name: mappings in YAML or JSON.
    public var services: [String: String] = [:]
    /// Backends that the file has not, by the names of their service and their own.
    public var backends: [String: [String: String]] = [:]
    /// Instead of those of the file.
    public var weights: [String: [String: UInt16]] = [:]

    public init(text: String, file: String) {
        self.text = text
        self.file = file
    }
}

extension Layers {
    /// What they ask for together; all that is wrong with any of them is in the error.
    ///
    /// An order that has no object, or whose name the file has as well, is an error here; see
    /// ``merged()`` for a file that was written anew.
    public func desiredState() throws(ConfigurationErrors) -> DesiredState {
        let parts = try LayerParts(self)
        switch parts.reading(of: parts.orders) {
        case .state(let state): return state
        case .wrong(let errors):
            throw ConfigurationErrors(sources: parts.sources, errors: errors)
        }
    }

    /// What is ordered over the API.
    var orders: [LayerPart] {
        services.keys.map { .service($0) }
            + backends.flatMap { service, own in own.keys.map { .backend(service, $0) } }
            + weights.flatMap { service, own in own.keys.map { .weight(service, $0) } }
    }

    /// The file with these of the orders.
    func keeping(_ orders: [LayerPart]) -> Layers {
        var kept = Layers(text: text, file: file)
        for order in orders {
            switch order {
            case .service(let name): kept.services[name] = services[name]
            case .backend(let service, let name):
                kept.backends[service, default: [:]][name] = backends[service]?[name]
            case .weight(let service, let backend):
                kept.weights[service, default: [:]][backend] = weights[service]?[backend]
            }
        }
        return kept
    }
}

/// One thing that was ordered over the API.
enum LayerPart: Hashable {
    case service(String)
    /// By the names of its service and its own.
    case backend(String, String)
    case weight(String, String)

    var service: String {
        switch self {
        case .service(let name), .backend(let name, _), .weight(let name, _): name
        }
    }
}

extension LayerPart: CustomStringConvertible {
    /// What error messages call its text: `service web`, `backend web/server-a`.
    var description: String {
        switch self {
        case .service(let name): "service \(name)"
        case .backend(let service, let name): "backend \(service)/\(name)"
        case .weight(let service, let backend): "weight of \(service)/\(backend)"
        }
    }
}

extension LayerPart: Comparable {
    /// Services before their backends, and those before their weights.
    static func < (left: Self, right: Self) -> Bool {
        let order = { (part: LayerPart) in
            switch part {
            case .service(let name): (0, name, "")
            case .backend(let service, let name): (1, service, name)
            case .weight(let service, let backend): (2, service, backend)
            }
        }
        return order(left) < order(right)
    }
}
