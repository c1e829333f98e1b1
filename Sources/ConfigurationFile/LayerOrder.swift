public import Balancing

/// A change of what counts, beside or over the file; or another file below what was ordered.
public enum LayerOrder: Hashable, Sendable {
    /// A text in place of the file's; what was ordered stays.
    case file(text: String, name: String)
    case setService(String, text: String)
    case removeService(String)
    case setBackend(service: String, name: String, text: String)
    case removeBackend(service: String, name: String)
    /// Nil: the one that the backend's own text says.
    case setWeight(service: String, backend: String, UInt16?)
}

/// Why an order can't be followed, whatever its text says.
public struct LayerRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// There is no such service or backend.
        case unknown
        /// The file, or another order, has it.
        case conflict
        /// It is no name, or too much.
        case invalid
    }

    public let kind: Kind
    /// With the cure in a second line.
    public let description: String

    init(_ kind: Kind, _ reason: String, cure: String) {
        self.kind = kind
        description = "\(reason)\n  \(cure)"
    }
}

extension Layers {
    /// The layers after an order; what its text says is read by ``desiredState()``.
    ///
    /// What is set anew is as its text says: weights that were ordered for it before fall away, and
    /// so does everything that belongs to a service or backend that is removed.
    ///
    /// - Parameter state: What these layers ask for now.
    public func changed(
        by order: LayerOrder, over state: DesiredState
    ) throws(LayerRefusal) -> Layers {
        var layers = self
        switch order {
        case .file(let text, let name):
            try checkFile(text, name)
            (layers.text, layers.file) = (text, name)
            return layers
        case .setService(let name, let text): try layers.setService(name, text, over: state)
        case .removeService(let name): try layers.removeService(name, over: state)
        case .setBackend(let service, let name, let text):
            try layers.setBackend(service, name, text, over: state)
        case .removeBackend(let service, let name):
            try layers.removeBackend(service, name, over: state)
        case .setWeight(let service, let backend, let weight):
            try layers.setWeight(service, backend, weight, over: state)
        }
        return layers
    }

    private mutating func setService(
        _ name: String, _ text: String, over state: DesiredState
    ) throws(LayerRefusal) {
        try checkName(name, of: "service")
        if services[name] == nil, state.service(name) != nil {
            throw LayerRefusal(
                .conflict, "cannot set service \(name): \(file) has it",
                cure: "change it there and reload, or use another name")
        }
        // Weights of backends that are ordered by themselves have nothing to do with this text.
        let own = backends[name] ?? [:]
        weights[name] = (weights[name] ?? [:]).filter { own[$0.key] != nil }.orNothing
        services[name] = text
        try checkSize(of: text, for: "service \(name)")
        guard services.count <= Limits.orderedServices else {
            throw LayerRefusal(
                .invalid,
                "cannot set service \(name): it would be number \(services.count) of the services "
                    + "that are ordered over the API",
                cure: "at most \(Limits.orderedServices): write them into \(file)")
        }
    }

    private mutating func removeService(
        _ name: String, over state: DesiredState
    ) throws(LayerRefusal) {
        guard services.removeValue(forKey: name) != nil else {
            guard state.service(name) != nil else {
                throw unknownService(name, to: "remove service \(name)")
            }
            throw LayerRefusal(
                .conflict, "cannot remove service \(name): \(file) has it",
                cure: "remove it there and reload")
        }
        backends[name] = nil
        weights[name] = nil
    }

    private mutating func setBackend(
        _ service: String, _ name: String, _ text: String, over state: DesiredState
    ) throws(LayerRefusal) {
        let act = "set backend \(service)/\(name)"
        guard let found = state.service(service) else { throw unknownService(service, to: act) }
        try checkName(name, of: "backend")
        if backends[service]?[name] == nil, found.has(name) {
            throw LayerRefusal(
                .conflict, "cannot \(act): \(owner(of: service)) has it",
                cure: "\(change(of: service)), use another name, or set its weight")
        }
        removeWeight(service, name)
        backends[service, default: [:]][name] = text
        try checkSize(of: text, for: "backend \(service)/\(name)")
        try checkCount(backends.mapValues(\.count), for: act, "backends")
    }

    private mutating func removeBackend(
        _ service: String, _ name: String, over state: DesiredState
    ) throws(LayerRefusal) {
        let act = "remove backend \(service)/\(name)"
        guard backends[service]?.removeValue(forKey: name) != nil else {
            guard let found = state.service(service) else { throw unknownService(service, to: act) }
            guard found.has(name) else { throw unknownBackend(service, name, to: act) }
            throw LayerRefusal(
                .conflict, "cannot \(act): \(owner(of: service)) has it",
                cure: "\(change(of: service)), or drain it")
        }
        backends[service] = backends[service]?.orNothing
        removeWeight(service, name)
    }

    private mutating func setWeight(
        _ service: String, _ backend: String, _ weight: UInt16?, over state: DesiredState
    ) throws(LayerRefusal) {
        let act = "set the weight of \(service)/\(backend)"
        guard let found = state.service(service) else { throw unknownService(service, to: act) }
        guard found.has(backend) else { throw unknownBackend(service, backend, to: act) }
        guard let weight else { return removeWeight(service, backend) }
        weights[service, default: [:]][backend] = weight
        try checkCount(weights.mapValues(\.count), for: act, "weights")
    }

    private mutating func removeWeight(_ service: String, _ backend: String) {
        weights[service]?[backend] = nil
        weights[service] = weights[service]?.orNothing
    }
}

/// What an order may not be, whatever there is.
extension Layers {
    private func checkFile(_ text: String, _ name: String) throws(LayerRefusal) {
        guard text.utf8.count > Limits.fileSize else { return }
        throw LayerRefusal(
            .invalid, "cannot use \(name): it has \(text.utf8.count) bytes",
            cure: "give a configuration of at most \(Limits.fileSize >> 20) MiB")
    }

    private func checkName(_ name: String, of thing: String) throws(LayerRefusal) {
        if case .value = Kind<String>.name.read(name, false) { return }
        throw LayerRefusal(
            .invalid, "cannot set \(thing) \(shown(name)): that is no name",
            cure: "use \(Kind<String>.name.accepted)")
    }

    private func checkSize(of text: String, for thing: String) throws(LayerRefusal) {
        guard text.utf8.count <= Limits.orderSize else {
            throw LayerRefusal(
                .invalid, "cannot set \(thing): its text has \(text.utf8.count) bytes",
                cure: "give at most \(Limits.orderSize), or write it into \(file)")
        }
        let texts = Array(services.values) + backends.values.flatMap(\.values)
        guard texts.reduce(0, { $0 + $1.utf8.count }) <= Limits.ordersSize else {
            throw LayerRefusal(
                .invalid,
                "cannot set \(thing): all that is ordered over the API would be longer than "
                    + "\(Limits.ordersSize >> 20) MiB",
                cure: "write it into \(file)")
        }
    }

    private func checkCount(
        _ counts: [String: Int], for act: String, _ things: String
    ) throws(LayerRefusal) {
        let count = counts.values.reduce(0, +)
        guard count > Limits.orderedBackends else { return }
        throw LayerRefusal(
            .invalid,
            "cannot \(act): it would be number \(count) of the \(things) that are ordered over "
                + "the API",
            cure: "at most \(Limits.orderedBackends): write them into \(file)")
    }

    private func unknownService(_ name: String, to act: String) -> LayerRefusal {
        LayerRefusal(
            .unknown, "cannot \(act): there is no service \(shown(name))",
            cure: "martlet services lists those that there are")
    }

    private func unknownBackend(
        _ service: String, _ name: String, to act: String
    ) -> LayerRefusal {
        LayerRefusal(
            .unknown, "cannot \(act): service \(service) has no backend \(shown(name))",
            cure: "martlet backends lists those that there are")
    }

    /// Where the text of a service is.
    private func owner(of service: String) -> String {
        services[service] == nil ? file : "the text of service \(service)"
    }

    private func change(of service: String) -> String {
        services[service] == nil ? "change it there and reload" : "set the service with another one"
    }
}

extension DesiredState {
    fileprivate func service(_ name: String) -> Service? { services.first { $0.name == name } }
}

extension Service {
    fileprivate func has(_ backend: String) -> Bool { backends.contains { $0.name == backend } }
}

extension Dictionary {
    /// Nil if it is empty: two layers with the same orders are the same.
    fileprivate var orNothing: Self? { isEmpty ? nil : self }
}
