import API
import ArgumentParser
import Control

/// `martlet maintenance SERVICE/BACKEND on|off`
struct MaintenanceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "maintenance",
        abstract: "Take a backend out of service while it is worked on.",
        discussion: """
            It gets no new flows, keeps those that it has, and nobody is woken for its health. \
            That outlives the controller; `off` ends it.

            Examples:
              martlet maintenance web/server-a on --reason "disk is replaced"
              martlet maintenance web/server-a off

            Exit status: 0 done, 1 refused, 64 wrong usage.
            """)

    enum Change: String, CaseIterable, ExpressibleByArgument {
        case on, off
    }

    @Argument(
        help: ArgumentHelp("The backend, as SERVICE/BACKEND.", valueName: "service/backend"),
        completion: .backends, transform: backendReference)
    var backend: BackendReference
    @Argument(help: "Whether it begins or ends.")
    var change: Change
    @Option(help: ArgumentHelp("Why, for those who look at the status.", valueName: "text"))
    var reason: String?
    @Flag(help: "Even if no other backend of the service can have new flows.")
    var force = false
    @OptionGroup var output: OutputOptions
    @OptionGroup var controller: ControllerOptions

    func validate() throws {
        if change == .off, reason != nil || force {
            throw ValidationError("--reason and --force are for `on`")
        }
    }

    func run() async throws {
        let client = controller.client
        do {
            switch change {
            case .on:
                try await client.maintain(
                    backend, MaintenanceOrder(reason: reason, isForced: force))
                try output.write(Done(backend, "is under maintenance"))
            case .off:
                try await client.endMaintenance(of: backend)
                try output.write(Done(backend, "is under maintenance no more"))
            }
        } catch {
            throw refused(error)
        }
    }
}
