import Balancing
import Packets

// What is recorded of flows, with names.

extension Controller {
    /// Some of the recorded flows, from where the page before ended.
    ///
    /// A page may be short, or empty, and yet have a next one: see ``DataPlane/flows(_:)``.
    public func flows(_ filter: FlowFilter) throws -> FlowPage {
        let page = try plane.flows(try query(filter))
        let names = names()
        return FlowPage(
            flows: page.flows.compactMap { flow in
                // Whose record has gone meanwhile has no flow any more.
                guard let backend = contents.backends[flow.backend] else { return nil }
                return FlowPage.Flow(flow, of: backend, names[backend.service])
            },
            next: page.next)
    }

    private func query(_ filter: FlowFilter) throws -> FlowQuery {
        guard 1...FlowFilter.mostFlows ~= filter.limit else {
            throw Refusal(
                .invalid,
                "cannot list \(filter.limit) flows at once: it is 1 to \(FlowFilter.mostFlows)")
        }
        var query = FlowQuery(cursor: filter.cursor, limit: filter.limit)
        if let text = filter.state {
            guard let state = RecordedFlow.State(rawValue: text) else {
                throw Refusal(
                    .invalid,
                    "cannot list flows that are \(text): there is no such state; "
                        + choices("states", RecordedFlow.State.allCases.map(\.rawValue)))
            }
            query.states = [state]
        }
        if filter.service != nil || filter.backend != nil { query.backends = try backends(filter) }
        return query
    }

    /// The numbers of those whose flows are wanted: one address may have had several.
    private func backends(_ filter: FlowFilter) throws -> Set<BackendID> {
        if let service = filter.service, let backend = filter.backend {
            _ = try find(BackendReference(service, backend))
        } else if let service = filter.service, known.indices[service] == nil {
            throw Refusal(
                .unknown,
                "there is no service \(service); "
                    + choices("services", services.map(\.service.name)))
        }
        let inQuestion = services.indices.filter {
            filter.service == nil || services[$0].service.name == filter.service
        }
        var wanted: [ServiceID: Set<IPAddress>] = [:]
        var areNamed = filter.backend == nil
        for index in inQuestion {
            let backends = services[index].backends.filter {
                filter.backend == nil || $0.name == filter.backend
            }
            if !backends.isEmpty { areNamed = true }
            if let id = places.services[index] { wanted[id] = Set(backends.map(\.address)) }
        }
        guard areNamed else {
            let names = Set(services.flatMap { $0.backends.map(\.name) }).sorted()
            throw Refusal(
                .unknown,
                "no service has a backend \(filter.backend ?? ""); "
                    + choices("backends", names))
        }
        let found = contents.backends.filter {
            wanted[$0.value.service]?.contains($0.value.address) == true
        }
        return Set(found.keys)
    }
}

extension FlowPage.Flow {
    /// - Parameter names: Nil: the service is not in the configuration.
    init(_ flow: RecordedFlow, of backend: PlaneContents.Backend, _ names: Names?) {
        self.init(
            service: names?.service ?? "(service \(backend.service.number))",
            backend: names?.backends[backend.address] ?? "\(backend.address)",
            state: flow.state.rawValue, slot: flow.slot, idle: flow.idle / .seconds(1),
            client: end(flow.client, flow.clientPort), nat: end(flow.natAddress, flow.natPort))
    }
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`
private func end(_ address: IPAddress?, _ port: UInt16?) -> String? {
    guard let address, let port else { return nil }
    return address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)"
}
