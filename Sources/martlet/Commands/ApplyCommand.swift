import API
import ArgumentParser
import Control
import Glibc

/// `martlet apply FILE`
struct ApplyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Have the controller go over to a configuration.",
        discussion: """
            On a terminal it shows what would change, asks, and then does exactly that. With \
            --yes, --plan or --json, and where there is no terminal, it does not ask. What is \
            refused has changed nothing.

            The file is read by this command, and stays what counts until the next apply, \
            rollback or reload: the last reads the file that the controller was started with.

            Examples:
              martlet apply martlet.yaml
              martlet apply martlet.yaml --plan 7-1f0c22a9
              ssh balancer martlet apply - --yes < martlet.yaml

            Exit status: 0 done, or nothing to do; 1 refused, also when something else has \
            changed in between or the answer was no; 2 refused configuration; 64 wrong usage.
            """)

    @OptionGroup var file: FileArgument
    @Option(
        help: ArgumentHelp(
            "Do what this plan says, or nothing: the word in the last line of `martlet plan`.",
            valueName: "token"))
    var plan: String?
    @Option(
        help: ArgumentHelp("Only if this generation counts now.", valueName: "number"))
    var ifGeneration: Int?
    @Flag(help: "Do not ask.")
    var yes = false
    @OptionGroup var output: OutputOptions
    @OptionGroup var controller: ControllerOptions

    func run() async throws {
        let client = controller.client
        do {
            let text = try file.text()
            let before = try await client.configuration().number
            if let ifGeneration, ifGeneration != before {
                throw OtherGeneration(wanted: ifGeneration, present: before)
            }
            var token = plan
            if isTalkative {
                let report = try await client.plan(text: text, file: file.file)
                print(martlet.text(report, to: .file(file.name), on: output.paper))
                if report.isEmpty { return }
                guard try confirmed() else { return }
                token = report.token
            }
            let generation = try await client.apply(
                text: text, file: file.file, generation: ifGeneration, plan: token)
            try output.write(generation) { _ in martlet.text(generation, after: before) }
        } catch {
            throw refused(error, configuration: .refusedConfiguration, file: file.file)
        }
    }

    /// Whether somebody sits there who can be asked.
    private var isTalkative: Bool {
        plan == nil && !yes && !output.json && isatty(STDOUT_FILENO) == 1
            && (isatty(STDIN_FILENO) == 1 || file.file == "-")
    }

    private func confirmed() throws -> Bool {
        switch ask("\napply it?") {
        case true?: return true
        case false?:
            printError("nothing was changed")
            throw ExitCode.refused
        case nil:
            printError(
                "cannot ask at the terminal: it can't be opened\n"
                    + "  have it done without being asked with --yes")
            throw ExitCode.refused
        }
    }
}

/// That another generation counts than the one that a change was written for.
private struct OtherGeneration: Error, CustomStringConvertible {
    let wanted: Int
    let present: Int

    var description: String {
        "nothing was changed: generation \(present) counts now, not \(wanted)\n"
            + "  martlet history shows what has happened since"
    }
}

/// `martlet reload`
struct ReloadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Have the controller read its file anew.",
        discussion: """
            The file that `martlet run` was started with; SIGHUP does the same. What was ordered \
            otherwise (weights, drains, maintenance) stays. A bad file changes nothing; this \
            command, the log and `martlet status` say so.

            Exit status: 0 done, or nothing to do; 1 refused; 2 refused configuration; 64 wrong \
            usage.
            """)

    @OptionGroup var output: OutputOptions
    @OptionGroup var controller: ControllerOptions

    func run() async throws {
        let client = controller.client
        do {
            let before = try await client.configuration().number
            let generation = try await client.reload()
            try output.write(generation) { _ in text(generation, after: before) }
        } catch {
            throw refused(error, configuration: .refusedConfiguration)
        }
    }
}
