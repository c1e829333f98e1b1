public import ServiceLifecycle

/// Tells the service manager that the process is alive, as long as it is, and when it stops.
///
/// Alive is what answers: `proof` asks those who do the work. While it does not return, or throws,
/// nothing is said, and the manager starts the process anew; meanwhile all is forwarded.
public struct WatchdogService: ServiceLifecycle.Service {
    private let manager: ServiceManager
    private let proof: @Sendable () async throws -> Void

    public init(_ manager: ServiceManager, proof: @escaping @Sendable () async throws -> Void) {
        self.manager = manager
        self.proof = proof
    }

    public func run() async throws {
        let manager = manager
        await withGracefulShutdownHandler {
            await cancelWhenGracefulShutdown { await watch() }
        } onGracefulShutdown: {
            manager.tell(.stopping)
        }
    }

    /// Says so twice in each period, lest one that comes a little late be one too late.
    private func watch() async {
        let pause = manager.watchdogPeriod.map { $0 / 2 } ?? .seconds(3600)
        while !Task.isCancelled {
            if manager.watchdogPeriod != nil, (try? await proof()) != nil {
                manager.tell(.watchdog)
            }
            try? await Task.sleep(for: pause)
        }
    }
}
