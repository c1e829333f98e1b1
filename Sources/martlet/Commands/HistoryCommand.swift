import API
import ArgumentParser
import ConfigurationFile
import Control

/// `martlet history`
struct HistoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        abstract: "List the configurations that have counted: when, who and what.",
        discussion: """
            The newest first; that one counts now, and has a star. Times are local.

            Exit status: 0 shown, 1 no controller answers, 64 wrong usage.
            """)

    @OptionGroup var show: ShowOptions
    @OptionGroup var controller: ControllerOptions

    func run() async throws {
        let client = controller.client
        do {
            try await show.show({ try await client.history() }, text: { text($0, on: $1) })
        } catch {
            throw refused(error)
        }
    }
}

/// `martlet rollback [N]`
struct RollbackCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Go back to an earlier configuration.",
        discussion: """
            To the one before the present, or to generation N of `martlet history`. It becomes a \
            new generation, so that a second rollback undoes the first.

            Examples:
              martlet rollback --plan
              martlet rollback 12

            Exit status: 0 done, 1 refused, 2 refused configuration, 64 wrong usage; with --plan \
            those of `martlet plan`.
            """)

    @Argument(help: ArgumentHelp("The generation to go back to.", valueName: "N"))
    var generation: Int?
    @Flag(help: "Show what would change, and change nothing.")
    var plan = false
    @OptionGroup var output: OutputOptions
    @OptionGroup var controller: ControllerOptions

    func validate() throws {
        if let generation, generation < 1 {
            throw ValidationError("\(generation) is no generation: they begin with 1")
        }
    }

    func run() async throws {
        if plan { return try await show() }
        do {
            let generation = try await controller.client.rollback(to: generation)
            try output.write(generation) { _ in
                seen(
                    "generation \(generation.number) counts: \(generation.cause)"
                        + (generation.summary.isEmpty ? "" : "; \(generation.summary)"))
            }
        } catch {
            throw refused(error, configuration: .refusedConfiguration)
        }
    }

    private func show() async throws {
        let report: PlanReport
        do {
            let client = controller.client
            report = try await client.planRollback(to: generation)
            let past = try await client.history().map(\.number).filter { $0 < report.generation }
            let number = generation ?? past.max() ?? report.generation
            try output.write(report) { text(report, to: .generation(number), on: $0) }
        } catch {
            throw refused(error, configuration: .planRefusedConfiguration)
        }
        if !report.isEmpty { throw ExitCode.planHasChanges }
    }
}
