import Balancing

// How long backends take to answer: what the data path measures of that, and what probes say.

extension Controller {
    /// Lets latencies that the data path measures go down by themselves.
    ///
    /// A backend that was slow once gets no flows, and so no chance to be measured again. It is
    /// forgiven by an eighth a second, down to what its probes take; one that was not measured yet
    /// begins with that.
    func forgiveLatencies() throws {
        let timed = services.indices.filter { services[$0].service.selection.timesAnswers }
        guard !timed.isEmpty else { return }
        let loads = try plane.loads()
        var latencies: [BackendID: UInt32] = [:]
        for index in timed {
            let numbers = places.backends(of: index)
            for backend in services[index].service.backends {
                guard let number = numbers[backend.address], let load = loads[number],
                    let probed = health(of: services[index].reference(to: backend))?.latency
                else { continue }
                let forgiven = forgiven(load.latency, probed: probed)
                if forgiven != load.latency { latencies[number] = forgiven }
            }
        }
        if !latencies.isEmpty { try plane.setLatency(latencies) }
    }

    /// Tells what the last probe says, where that changes what a backend costs.
    func setLatency(ofBackendAt place: Int, _ index: Int) {
        let service = services[index].service
        let backend = service.backends[place]
        // Where it is always the same, it was told at the start.
        guard service.scheduler == .responseTime, let latency = latency(of: backend, in: service),
            let number = places.backend(backend.address, of: index)
        else { return }
        do {
            try plane.setLatency([number: latency])
        } catch {
            let reference = BackendReference(service.name, backend.name)
            trouble("\(reference): its latency is not told: \(error)", reference)
        }
    }

    /// What costs are reckoned with, where the schedulers do so.
    func setLatencies() throws {
        var latencies: [BackendID: UInt32] = [:]
        for (index, watched) in services.enumerated() {
            for backend in watched.service.backends {
                guard let latency = latency(of: backend, in: watched.service),
                    let number = places.backend(backend.address, of: index)
                else { continue }
                latencies[number] = latency
            }
        }
        if !latencies.isEmpty { try plane.setLatency(latencies) }
    }

    /// Nil: there is nothing to say, or the plane measures it.
    private func latency(of backend: Backend, in service: Service) -> UInt32? {
        switch service.scheduler {
        case .leastConnections: 1
        case .responseTime where !service.selection.timesAnswers:
            known.health[BackendReference(service.name, backend.name)]?.latency
        case .maglev, .roundRobin, .responseTime: nil
        }
    }
}

/// - Parameters:
///   - measured: By the data path, in microseconds; 1: it was not measured yet.
///   - probed: How long health checks take; that is longer than accepting a connection.
func forgiven(_ measured: UInt32, probed: UInt32) -> UInt32 {
    if measured <= 1 { return max(1, probed) }
    guard measured > probed else { return measured }
    return max(probed, measured - max(1, measured / 8))
}
