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
        discussion: "Exit status: 0 done, 1 refused by the system, 2 refused configuration, "
            + "64 wrong usage.",
        version: version,
        subcommands: [
            Run.self, Check.self, StatusCommand.self, Counters.self, DrainCommand.self,
            UndrainCommand.self, Attach.self, Detach.self, Decapsulate.self,
        ])
}

/// Of which nothing has been released yet.
private let version = "0.1.0-dev"

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
    @Option(help: "Where in the receive path; auto: native where the driver can, else generic.")
    var mode = AttachMode.native
}

/// `eth1: program 42, native`
func words(_ attachment: Attachments.Attachment) -> String {
    let mode = attachment.mode.map { "\($0)" } ?? "mode not known"
    return "\(attachment.interface): program \(attachment.program), \(mode)"
}

/// Ends the command with what was refused on standard error.
///
/// - Parameter capabilities: What the command takes, of those who are not root.
func refused(
    _ error: any Error, status: Int32 = 1, needing capabilities: [String] = []
) -> ExitCode {
    if let failure = error as? BPF.Failure {
        printError("\(failure.needing(capabilities))")
    } else {
        printError("\(error)")
    }
    return ExitCode(status)
}
