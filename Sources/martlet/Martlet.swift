import ArgumentParser
import BPF
import Balancing
import XDPPlane

/// The command line: parses, prints, decides nothing.
@main
struct Martlet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "A layer-4 load balancer in the network driver.",
        discussion: """
            `martlet run` balances; everything else asks it over its socket, but for check, \
            attach, detach and decapsulate, which need no controller, and counters, which can do \
            without.

            All but run and top have --json. Colours are for terminals only, and NO_COLOR is \
            heeded. Completions for a shell: martlet --generate-completion-script bash (zsh, fish).

            Exit status:
               0  done; of plan: nothing would change
               1  refused by the system or the controller, or no controller answers
               2  refused configuration; of plan: something would change
               3  of plan: refused configuration
              64  wrong usage
             128 and more: top, ended by a signal other than SIGINT
            """,
        version: version,
        groupedSubcommands: [
            CommandGroup(name: "Node", subcommands: [
                Run.self, Attach.self, Detach.self, Decapsulate.self,
            ]),
            CommandGroup(name: "Configuration", subcommands: [
                Check.self, PlanCommand.self, ApplyCommand.self, ReloadCommand.self,
                HistoryCommand.self, RollbackCommand.self,
            ]),
            CommandGroup(name: "Looking", subcommands: [
                StatusCommand.self, ServicesCommand.self, BackendsCommand.self, Counters.self,
                TopCommand.self, FlowsCommand.self, ExplainCommand.self, EventsCommand.self,
            ]),
            CommandGroup(name: "Backends", subcommands: [
                DrainCommand.self, UndrainCommand.self, WeightCommand.self,
                MaintenanceCommand.self,
            ]),
        ])

    static func main() async {
        do {
            var command = try await asyncParseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
            printError(usageText(of: error, Array(CommandLine.arguments.dropFirst())))
            exit(withError: ExitCode.validationFailure)
        }
    }

    /// What is wrong with the words of a command line, in one line, and where help is in a second.
    static func usageText(of error: any Error, _ arguments: [String] = []) -> String {
        let hint = fullMessage(for: error).split(separator: "\n").last { $0.hasPrefix("  See '") }
        let command = hint?.split(separator: "'").dropFirst().first ?? "martlet --help"
        var text = message(for: error)
        // Where we say ourselves what is wrong with a value, that is enough.
        if text.hasPrefix("The value '"), let colon = text.firstRange(of: "': ") {
            text = String(text[colon.upperBound...])
        }
        if let first = arguments.first, !first.hasPrefix("-"), command == "martlet --help" {
            text = "\"\(first)\" is no command of martlet"
        }
        return text + "\n  see \(command)"
    }
}

/// Of which nothing has been released yet.
let version = "0.1.0-dev"

/// Where the pins of a command are.
struct PinOptions: ParsableArguments {
    @Option(
        help: "The directory of the BPF file system that holds program and tables.",
        completion: .directory)
    var pins = Self.standard

    static let standard = "/sys/fs/bpf/martlet"
    static let decapsulator = "/sys/fs/bpf/martlet-decapsulate"

    var directory: PinDirectory { PinDirectory(pins) }
}

/// Where in the receive path a program is put.
struct ModeOption: ParsableArguments {
    @Option(help: "Where in the receive path; auto: native where the driver can, else generic.")
    var mode = AttachMode.native
}

/// `eth1: program 42, native`
func words(_ attachment: Attachments.Attachment) -> String {
    let mode = attachment.mode.map { "\($0)" } ?? "mode not known"
    return "\(attachment.interface): program \(attachment.program), \(mode)"
}
