import API
import ArgumentParser
import Control

/// `martlet plan FILE`
struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Show what a configuration would change, and change nothing.",
        discussion: """
            A line for each service and backend that would be added (+), removed (-) or changed \
            (~); how many slots, and so new flows, get another backend; and what becomes of the \
            flows that are open. The last line has the command that does exactly this, or refuses \
            if something else has changed in between.

            Examples:
              martlet plan martlet.yaml
              martlet plan martlet.yaml --json | jq .flows.break

            Exit status: 0 nothing would change, 1 no controller answers, 2 something would \
            change, 3 refused configuration, 64 wrong usage.
            """)

    @OptionGroup var file: FileArgument
    @OptionGroup var output: OutputOptions
    @OptionGroup var controller: ControllerOptions

    func run() async throws {
        let plan: PlanReport
        do {
            plan = try await controller.client.plan(text: file.text(), file: file.file)
            try output.write(plan) { paper in
                let text = text(plan, to: .file(file.name), on: paper)
                return plan.isEmpty ? text : "\(text)\n\n\(applyHint(plan, file: file.file))"
            }
        } catch {
            throw refused(error, configuration: .planRefusedConfiguration)
        }
        if !plan.isEmpty { throw ExitCode.planHasChanges }
    }
}
