import ArgumentParser
import BPF
import Balancing
import XDPPlane

/// `martlet attach INTERFACE`
struct Attach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Put the pinned program on one more interface.",
        discussion: """
            Until the next start of a controller, or `martlet detach`.

            Exit status: 0 done, 1 refused, 64 wrong usage.
            """)

    @Argument(help: "The interface.")
    var interface: String
    @OptionGroup var mode: ModeOption
    @OptionGroup var pins: PinOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        do {
            let hook = try XDPHook(on: interface)
            let attachment = try Attachments(pins: pins.directory).add(hook, mode: mode.mode)
            try output.write(AttachmentShown(attachment)) { _ in words(attachment) }
        } catch {
            throw refused(error, needing: ["CAP_BPF"])
        }
    }
}

/// `martlet detach [INTERFACE]`
struct Detach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "End the forwarding: on one interface, or everywhere.",
        discussion: """
            Without an interface the program and its tables go too. Packets for the VIPs are then \
            left to the kernel.

            Exit status: 0 done, or nothing was attached; 1 refused, 64 wrong usage.
            """)

    @Argument(help: "The interface; none: all, and the tables.")
    var interface: String?
    @Flag(help: "Also under a controller that runs.")
    var force = false
    @OptionGroup var pins: PinOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        do {
            let hook = try interface.map { name throws(BPF.Failure) in try XDPHook(on: name) }
            let holder = try pins.directory.holder()
            if let holder, !force { throw refusal(under: holder) }
            let wasThere = try detach(from: hook, under: holder)
            let place = interface.map { " \(wasThere ? "from" : "to") \($0)" } ?? ""
            let remark = holder.map { "\nthe controller (\($0)) runs on without it" } ?? ""
            let foreign = hook == nil ? try Attachments(pins: pins.directory).foreign() : []
            let left =
                foreign.isEmpty
                ? ""
                : "\nleft in \(pins.directory.path), for it is not Martlet's: "
                    + foreign.joined(separator: ", ")
            try output.write(DetachmentShown(interface: interface, wasAttached: wasThere)) { _ in
                (wasThere ? "detached" : "nothing was attached") + place
                    + left + (wasThere ? remark : "")
            }
        } catch {
            throw refused(error)
        }
    }

    private func detach(from hook: XDPHook?, under holder: PinDirectory.Holder?) throws -> Bool {
        let attachments = Attachments(pins: pins.directory)
        if let hook { return try attachments.remove(hook) }
        // The directory of a controller that runs is where others see that it does.
        return try holder == nil ? attachments.removeAll() : attachments.removeEntries()
    }

    private func refusal(under holder: PinDirectory.Holder) -> BPF.Failure {
        BPF.Failure(
            "detach from", interface ?? "the interfaces",
            because: "a controller runs (\(holder))",
            cure: "stop it first, or have it go on without the program with --force")
    }
}

/// Where a program runs now, for programs.
struct AttachmentShown: Encodable {
    let interface: String
    let program: UInt32
    let mode: String?

    init(_ attachment: Attachments.Attachment) {
        interface = attachment.interface
        program = attachment.program
        mode = attachment.mode.map { "\($0)" }
    }
}

/// Where it runs no more.
private struct DetachmentShown: Encodable {
    /// Nil: anywhere.
    let interface: String?
    let wasAttached: Bool
}
