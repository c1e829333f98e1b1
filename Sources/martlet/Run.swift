import API
import ArgumentParser
import BPF
import Balancing
import ConfigurationFile
import Control
import Explain
import FoundationEssentials
import HealthChecks
import Logging
import NIOPosix
import Netlink
import ServiceLifecycle
import ServiceManager
import UnixSignals
import XDPPlane

/// `martlet run --config FILE`
struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Balance the services of a configuration.",
        discussion: "Program and tables outlive the command: when it stops or is killed, "
            + "everything is still forwarded, and the next one takes over. `martlet detach` "
            + "ends the forwarding.\n\n"
            + "Exit status: 0 stopped by SIGTERM or SIGINT, 1 refused by the system, also where "
            + "another controller runs, 2 refused configuration, 64 wrong usage.")

    @Option(
        help: "The configuration file; -: standard input.",
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var config: String
    @OptionGroup var pins: PinOptions
    @OptionGroup var socket: SocketOption
    @Option(
        help: ArgumentHelp(
            "The file in which drains and maintenance outlive the controller; configurations do in "
                + "the directory generations beside it.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var state = "/var/lib/martlet/state.json"
    @OptionGroup var metrics: MetricsOption
    @OptionGroup var log: LogOptions
    @OptionGroup var audit: AuditOption
    @OptionGroup var remote: RemoteOptions

    func run() async throws {
        log.begin()
        do {
            let pins = pins.directory
            let lock = try pins.lock()
            defer {
                // An empty one only: what a controller before us pinned stays.
                try? pins.removeDirectory()
            }
            try await balance(opening(), pins)
            _ = consume lock
        } catch let errors as ConfigurationErrors {
            throw refused(errors, status: 2)
        } catch {
            throw refused(error, needing: ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"])
        }
    }

    private func opening() throws -> Control.Configuration.Opening {
        try Control.Configuration.opening(
            fileReader(), called: config, store: GenerationDirectory(besideState: state), at: .now)
    }

    /// Reads the file, now and whenever it is to be read anew; the standard input only once.
    private func fileReader() throws(ConfigurationErrors) -> (
        @Sendable () throws(ConfigurationErrors) -> (text: String, name: String)
    ) {
        let path = config
        guard path == "-" else {
            return { () throws(ConfigurationErrors) in (try readText(path), path) }
        }
        let text = try readText(path)
        return { () throws(ConfigurationErrors) in (text, path) }
    }

    private func balance(
        _ opening: Control.Configuration.Opening, _ pins: PinDirectory
    ) async throws {
        let logger = Logger(label: "martlet")
        let manager = ServiceManager()
        let desired = opening.desired
        let plane = try XDPPlane(takingOver: pins)
        for note in plane.takeoverNotes { logger.notice("\(note)") }
        let events = EventLog(logger: logger)
        let keeper = AttachmentKeeper(desired, pins: pins, events: events)
        let controller = try Controller(
            desired, from: opening.configuration, on: plane, interfaces: keeper, events: events,
            store: StateFile(state))
        for text in opening.remarks { events.tell(.warning, .generation, text) }
        let desk = Desk(
            controller: controller, keeper: keeper, explainer: Explainer(plane: plane),
            process: ProcessReading(started: Date(), attachments: Attachments(pins: pins)))
        let auditLog = try audit.log(beside: state, logger)
        let hangups = await HangupService {
            manager?.tell(.reloading)
            defer { manager?.tell(.ready) }
            let hangup = Requester.controller("SIGHUP")
            try await auditLog.follow("reload", by: hangup, at: desk.generation()) {
                try await desk.reload(by: hangup)
            }
        }
        let present = opening.configuration.generation
        let server = try await Server(
            desk, at: socket.path, audit: auditLog, remote: remote.access(),
            logger: logger,
            whenServing: { [logger] in
                tell(pins, logger)
                manager?.tell(.ready, statusLine(present.number, desired))
            })
        let watcher = try NextHopWatcher(await controller.addresses, on: desired.interfaces)
        // From here on whoever follows the configuration misses none.
        let follower = ConfigurationService(controller, watcher, manager, logger)
        let followers = [HealthService(controller), follower] as [any ServiceLifecycle.Service]
        try await begin(desired, pins, plane, controller)
        try await keep(opening, auditLog)
        await follower.warn(about: desired)
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
                Repeating(period: .seconds(60), logger: logger) { try await controller.tidyPool() },
                NextHopService(controller: controller, watcher: watcher, logger: logger),
                AttachmentService(keeper: keeper),
                hangups,
            ] + followers + watching(manager, controller)
                + [metrics.server(logger: logger) { try await desk.metrics() }].compactMap(\.self),
            logger)
        try tellEnd(pins, logger)
    }

    /// A start that makes a generation is a change as others are.
    private func keep(
        _ opening: Control.Configuration.Opening, _ audit: AuditLog
    ) async throws {
        guard opening.isNew else { return }
        let generation = opening.configuration.generation
        try await audit.follow(
            "reload", by: .controller(generation.by), at: generation.number - 1
        ) {
            try opening.keep()
            return generation
        }
    }

    /// Who answers is alive: a controller that is stuck in a call of the kernel does not.
    private func watching(
        _ manager: ServiceManager?, _ controller: Controller<XDPPlane>
    ) -> [any ServiceLifecycle.Service] {
        manager.map { manager in
            [WatchdogService(manager) { _ = await controller.addresses }]
        } ?? []
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
