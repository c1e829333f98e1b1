import API
import ArgumentParser
import BPF
import Balancing
import ConfigurationFile
import Control
import HealthChecks
import Logging
import NIOPosix
import Netlink
import ServiceLifecycle
import UnixSignals
import XDPPlane

/// `martlet run --config FILE`
struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Balance the services of a configuration.",
        discussion: "Program and tables outlive the command: when it stops or is killed, "
            + "everything is still forwarded, and the next one takes over. `martlet detach` "
            + "ends the forwarding.")

    @Option(help: "The configuration file.")
    var config: String
    @OptionGroup var pins: PinOptions
    @OptionGroup var socket: SocketOption
    @Option(help: "The file in which drains outlive the controller.")
    var state = "/var/lib/martlet/state.json"

    func run() async throws {
        let desired: DesiredState
        do {
            desired = try ConfigurationFile.read(config)
        } catch {
            throw refused(error, status: 2)
        }
        do {
            let pins = pins.directory
            let lock = try pins.lock()
            defer {
                // An empty one only: what a controller before us pinned stays.
                try? pins.removeDirectory()
            }
            try await balance(desired, pins)
            _ = consume lock
        } catch {
            throw refused(error, needing: ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"])
        }
    }

    private func balance(_ desired: DesiredState, _ pins: PinDirectory) async throws {
        var logger = Logger(label: "martlet")
        logger.logLevel = .info
        let hangups = await HangupService(logger: logger)
        let plane = try XDPPlane(takingOver: pins)
        let controller = try Controller(
            desired, on: plane, logger: logger, store: StateFile(state))
        let keeper = AttachmentKeeper(desired, pins: pins, logger: logger)
        let server = try await Server(
            answers(controller, keeper), at: socket.path, logger: logger,
            whenServing: { [logger] in tell(pins, logger) })
        let watcher = try NextHopWatcher(await controller.addresses, on: desired.interfaces)
        try await begin(desired, pins, plane, controller)
        warn(about: desired, logger)
        try await serve(
            [
                server,
                // So that there are rates to tell.
                Repeating(period: .seconds(1), logger: logger) { try await controller.read() },
                // What the plane refused is tried again: other news may be long in coming.
                Repeating(period: .seconds(1), logger: logger) {
                    await controller.settle()
                    try await controller.tend()
                },
                HealthService(controller: controller, logger: logger),
                Repeating(period: .seconds(60), logger: logger) { try await controller.tidyPool() },
                NextHopService(
                    controller: controller, watcher: watcher, desired: desired, logger: logger),
                AttachmentService(keeper: keeper),
                hangups,
            ], logger)
        try tellEnd(pins, logger)
    }

    /// Says once what is missing on this host for packets to come here, and answers back.
    private func warn(about desired: DesiredState, _ logger: Logger) {
        do {
            let host = try HostSettings.read(for: desired)
            for warning in warnings(for: desired, on: host) { logger.warning("\(warning)") }
        } catch {
            logger.warning("\(error)")
        }
    }

    /// Says where the program runs: whoever waits for that can ask for the status too.
    private func tell(_ pins: PinDirectory, _ logger: Logger) {
        do {
            for attachment in try Attachments(pins: pins).present() {
                logger.info("program \(attachment.program) runs on \(attachment.interface)")
            }
        } catch {
            logger.error("\(error)")
        }
    }

    /// The program first: where it is refused, the tables of a controller before us are still
    /// as that one left them. Until they are filled it leaves packets to the kernel.
    private func begin(
        _ desired: DesiredState, _ pins: PinDirectory, _ plane: XDPPlane,
        _ controller: Controller<XDPPlane>
    ) async throws {
        let isFirst = try pins.entries().isEmpty
        try plane.attach(
            to: desired.interfaces, mode: desired.attachMode, pins: pins)
        do {
            try await controller.start()
        } catch {
            if isFirst { _ = try? Attachments(pins: pins).removeAll() }
            throw error
        }
    }

    private func answers(
        _ controller: Controller<XDPPlane>, _ keeper: AttachmentKeeper
    ) -> Answers {
        Answers(
            status: { try await controller.status(on: keeper.status()) },
            counters: { try await controller.counters() },
            drain: { try await controller.drain($0, deadline: $1.deadline, isForced: $1.isForced) },
            undrain: { try await controller.undrain($0) })
    }

    private func serve(
        _ services: [any ServiceLifecycle.Service], _ logger: Logger
    ) async throws {
        let group = ServiceGroup(
            services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        try await group.run()
    }

    /// Says what is left running, which somebody may have detached.
    private func tellEnd(_ pins: PinDirectory, _ logger: Logger) throws {
        let isRunning = try !Attachments(pins: pins).present().isEmpty
        logger.notice(
            isRunning
                ? "stopped; what was forwarded still is"
                : "stopped; nothing is forwarded: the program runs on no interface")
    }
}

/// Probes the backends and tells the controller.
private struct HealthService: ServiceLifecycle.Service {
    let controller: Controller<XDPPlane>
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await watch(await controller.probeTargets) { target in
                await probe(
                    target.check, of: target.address, on: MultiThreadedEventLoopGroup.singleton)
            } report: { target, result in
                await controller.take(result, of: target)
            }
            // Without anything to probe there is still something to wait for.
            while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
        }
    }
}

/// Follows the next hops and tells the controller.
private struct NextHopService: ServiceLifecycle.Service {
    let controller: Controller<XDPPlane>
    let watcher: NextHopWatcher
    let desired: DesiredState
    let logger: Logger

    func run() async throws {
        let told = Told(logger: logger)
        try await cancelWhenGracefulShutdown {
            try await watcher.run { news in
                await controller.take(exits: news.exits)
                await controller.take(news.ways)
                await told.warn(warnings(for: desired, behind: news.routers))
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
private struct Repeating: ServiceLifecycle.Service {
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
