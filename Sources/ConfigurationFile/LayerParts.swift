import Balancing

/// The trees of all texts of ``Layers``, each read once; any of them can be put together.
struct LayerParts {
    /// What the texts are called, by the number that positions have.
    private(set) var sources: [String]
    /// All that is ordered, in ascending order.
    let orders: [LayerPart]
    /// Of the services and backends that could be read.
    private var trees: [LayerPart: Value] = [:]
    private var weights: [LayerPart: UInt16] = [:]
    /// What keeps a text from being one of a service or backend of its name.
    private(set) var errors: [LayerPart: [ConfigurationError]] = [:]
    private let file: Value

    /// What became of the file and some of the orders.
    enum Reading {
        case state(DesiredState)
        /// Positions with the numbers of ``sources``.
        case wrong([ConfigurationError])
    }

    /// Throws what is wrong with the file if that is no YAML.
    init(_ layers: Layers) throws(ConfigurationErrors) {
        sources = [layers.file]
        orders = layers.orders.sorted()
        do {
            file = try tree(
                layers.text, accepted: "a mapping with the keys interfaces and services")
        } catch {
            throw ConfigurationErrors(file: layers.file, errors: error.errors)
        }
        for order in orders {
            switch order {
            case .service(let name):
                read(layers.services[name] ?? "", of: order, name: name, thing: "service")
            case .backend(let service, let name):
                let text = layers.backends[service]?[name] ?? ""
                read(text, of: order, name: name, thing: "backend")
            case .weight(let service, let backend):
                weights[order] = layers.weights[service]?[backend]
            }
        }
    }

    private mutating func read(_ text: String, of order: LayerPart, name: String, thing: String) {
        let source = sources.count
        sources.append("\(order)")
        do {
            let tree = try tree(text, accepted: "a mapping with the keys of a \(thing)")
                .wholeText(source)
            if let given = tree["name"], let other = given.text, other != name {
                errors[order] = [
                    ConfigurationError(
                        at: given.position, path: "name", found: shown(other),
                        accepted: "\(shown(name)), as which it is ordered; or no name here")
                ]
            } else {
                trees[order] = tree["name"] == nil ? tree.setting("name", to: name) : tree
            }
        } catch {
            errors[order] = error.errors.map { $0.inSource(source) }
        }
    }
}

extension LayerParts {
    /// What the file and these orders ask for together.
    func reading(of orders: [LayerPart]) -> Reading {
        let known = orders.flatMap { errors[$0] ?? [] }
        var reader = Reader(sources: sources, errors: known)
        guard let state = reader.desiredState(merged(orders)) else {
            return .wrong(reader.errors)
        }
        // Only now: with a service that can't be read its backends would have none.
        let orphans = orphans(among: orders)
        guard orphans.isEmpty else {
            return .wrong(orphans.map { orphanError($0, among: orders) })
        }
        return .state(state)
    }

    /// The order whose text has an error there; nil: none, it is the file.
    func order(at error: ConfigurationError) -> LayerPart? {
        guard let source = error.position?.source, source > 0 else { return nil }
        // Weights have no text.
        return orders[source - 1]
    }

    private func merged(_ orders: [LayerPart]) -> Value {
        var services: [Value] = []
        var backends: [String: [Value]] = [:]
        var weights: [String: [String: UInt16]] = [:]
        for order in orders {
            switch order {
            case .service: services += trees[order].map { [$0] } ?? []
            case .backend(let service, _):
                backends[service, default: []] += trees[order].map { [$0] } ?? []
            case .weight(let service, let backend):
                weights[service, default: [:]][backend] = self.weights[order]
            }
        }
        return file.changing(listAt: "services") { values in
            (values + services).map { service in
                guard let name = service["name"]?.text,
                    backends[name] != nil || weights[name] != nil
                else { return service }
                return service.changing(listAt: "backends") { values in
                    (values + (backends[name] ?? [])).map { backend in
                        let weight = backend["name"]?.text.flatMap { weights[name]?[$0] }
                        return weight.map { backend.setting("weight", to: "\($0)") } ?? backend
                    }
                }
            }
        }
    }
}

/// What belongs to what, by name: whether it can be read is another matter.
extension LayerParts {
    /// Those of the orders whose name the file, or the text of the service, has as well.
    func shadowed(among orders: [LayerPart]) -> [LayerPart] {
        let (names, texts) = (fileServices, serviceTexts(orders))
        return orders.filter { order in
            switch order {
            case .service(let name): names.contains(name)
            case .backend(let service, let name):
                texts[service]?["backends"]?.names.contains(name) == true
            case .weight: false
            }
        }
    }

    /// Those of the orders whose service or backend there is not.
    func orphans(among orders: [LayerPart]) -> [LayerPart] {
        let texts = serviceTexts(orders)
        let ordered = Set(orders)
        var names: [String: Set<String>] = [:]
        return orders.filter { order in
            switch order {
            case .service: return false
            case .backend(let service, _): return texts[service] == nil
            case .weight(let service, let backend):
                guard let text = texts[service] else { return true }
                let own = names[service] ?? text["backends"]?.names ?? []
                names[service] = own
                return !own.contains(backend) && !ordered.contains(.backend(service, backend))
            }
        }
    }

    /// Why an order has nothing to work on.
    func orphanReason(_ order: LayerPart, among orders: [LayerPart]) -> String {
        fileServices.contains(order.service) || orders.contains(.service(order.service))
            ? "there is no such backend" : "there is no service \(order.service)"
    }

    private var fileServices: Set<String> { file["services"]?.names ?? [] }

    /// The text of each service; the file's goes before another one.
    private func serviceTexts(_ orders: [LayerPart]) -> [String: Value] {
        var texts: [String: Value] = [:]
        for service in file["services"]?.elements ?? [] {
            guard let name = service["name"]?.text, texts[name] == nil else { continue }
            texts[name] = service
        }
        for order in orders {
            guard case .service(let name) = order, texts[name] == nil else { continue }
            texts[name] = trees[order]
        }
        return texts
    }

    private func orphanError(
        _ order: LayerPart, among orders: [LayerPart]
    ) -> ConfigurationError {
        let isWeight = weights[order] != nil
        return ConfigurationError(
            in: "\(order)", found: "it, but \(orphanReason(order, among: orders))",
            accepted: isWeight
                ? "the weight of a backend that there is" : "a backend of a service that there is")
    }
}
