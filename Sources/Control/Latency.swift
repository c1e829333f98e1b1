import Balancing

// What the data path measures of answers, and what it can't.

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
}

/// - Parameters:
///   - measured: By the data path, in microseconds; 1: it was not measured yet.
///   - probed: How long health checks take; that is longer than accepting a connection.
func forgiven(_ measured: UInt32, probed: UInt32) -> UInt32 {
    if measured <= 1 { return max(1, probed) }
    guard measured > probed else { return measured }
    return max(probed, measured - max(1, measured / 8))
}
