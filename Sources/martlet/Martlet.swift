import ArgumentParser
import BPF
import Balancing

/// The command line: parses, prints, decides nothing.
@main
struct Martlet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "A layer-4 load balancer in the network driver.",
        discussion: "Exit status: 0 done, 1 refused by the system, 2 refused configuration, "
            + "64 wrong usage.",
        subcommands: [
            Run.self, Check.self, StatusCommand.self, Counters.self, Attach.self, Detach.self,
            Decapsulate.self,
        ])
}

/// Where the pins of a command are.
struct PinOptions: ParsableArguments {
    @Option(help: "The directory of the BPF file system that holds program and tables.")
    var pins = Self.standard

    static let standard = "/sys/fs/bpf/martlet"
    static let decapsulator = "/sys/fs/bpf/martlet-decapsulate"

    var directory: PinDirectory { PinDirectory(pins) }
}

/// Where in the receive path a program is put.
struct ModeOption: ParsableArguments {
    @Option(
        help: "Where in the receive path: native, generic or auto.",
        transform: { text in
            guard let mode = AttachMode(rawValue: text) else {
                throw ValidationError("\"\(text)\" is not native, generic or auto")
            }
            return mode
        })
    var mode = AttachMode.auto
}

/// Ends the command with what was refused on standard error.
func refused(_ error: any Error, status: Int32 = 1) -> ExitCode {
    printError("\(error)")
    return ExitCode(status)
}
