import Balancing
import Control
import HealthChecks
import Logging
import NIOPosix
import ServiceLifecycle
import ServiceManager
import XDPPlane

// What a controller that runs goes on doing.

/// What is missing on this host for packets to come here, and answers back.
private func hostWarnings(for desired: DesiredState) -> [String] {
    do {
        return warnings(for: desired, on: try HostSettings.read(for: desired))
    } catch {
        return ["\(error)"]
    }
}

/// Probes the backends and tells the controller.
struct HealthService: ServiceLifecycle.Service {
    private let controller: Controller<XDPPlane>
    private let configurations: AsyncStream<DesiredState>

    init(_ controller: Controller<XDPPlane>) {
        self.controller = controller
        configurations = controller.appliedConfigurations()
    }

    func run() async throws {
        let controller = controller
        await cancelWhenGracefulShutdown {
            let (targets, next) = AsyncStream.makeStream(
                of: Set<ProbeTarget>.self, bufferingPolicy: .bufferingNewest(1))
            next.yield(await controller.probeTargets)
            async let probing: Void = watch(targets) { target in
                await probe(
                    target.check, of: target.address, on: MultiThreadedEventLoopGroup.singleton)
            } report: { target, result in
                await controller.take(result, of: target)
            }
            for await _ in configurations { next.yield(await controller.probeTargets) }
            next.finish()
            await probing
        }
    }
}

/// What `systemctl status` shows of a controller: `generation 7: 2 services`.
func statusLine(_ generation: Int, _ desired: DesiredState) -> ServiceManager.News {
    .status("generation \(generation): \(count(desired.services.count, "service"))")
}

/// Has those follow the configuration who look for what it names.
struct ConfigurationService: ServiceLifecycle.Service {
    private let controller: Controller<XDPPlane>
    private let watcher: NextHopWatcher
    private let manager: ServiceManager?
    private let told: Told
    private let configurations: AsyncStream<DesiredState>

    init(
        _ controller: Controller<XDPPlane>, _ watcher: NextHopWatcher, _ manager: ServiceManager?,
        _ logger: Logger
    ) {
        self.controller = controller
        self.watcher = watcher
        self.manager = manager
        told = Told(logger: logger)
        configurations = controller.appliedConfigurations()
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            for await desired in configurations {
                watcher.follow(await controller.addresses, on: desired.interfaces)
                manager?.tell(statusLine(await controller.generation.number, desired))
                await warn(about: desired)
            }
        }
    }

    /// Says once what this host lacks.
    func warn(about desired: DesiredState) async { await told.warn(hostWarnings(for: desired)) }
}

/// Follows the next hops and tells the controller.
struct NextHopService: ServiceLifecycle.Service {
    let controller: Controller<XDPPlane>
    let watcher: NextHopWatcher
    let logger: Logger

    func run() async throws {
        let told = Told(logger: logger)
        try await cancelWhenGracefulShutdown {
            try await watcher.run { news in
                await controller.take(exits: news.exits)
                await controller.take(news.ways)
                await told.warn(warnings(for: controller.desired, behind: news.routers))
            }
        }
    }
}

/// Tells each warning once, and again when it has been untrue in between.
private actor Told {
    private let logger: Logger
    private var present: Set<String> = []

    init(logger: Logger) { self.logger = logger }

    func warn(_ warnings: [String]) {
        for warning in warnings where !present.contains(warning) { logger.warning("\(warning)") }
        present = Set(warnings)
    }
}

/// Does something again and again: what goes wrong once is told, and tried again the next time.
struct Repeating: ServiceLifecycle.Service {
    let period: Duration
    let logger: Logger
    let work: @Sendable () async throws -> Void

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do { try await work() } catch { logger.error("\(error)") }
                try? await Task.sleep(for: period)
            }
        }
    }
}
