import ArgumentParser
import BPF
import Balancing
import XDPPlane

/// `martlet attach INTERFACE`
struct Attach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Put the pinned program on one more interface.")

    @Argument(help: "The interface.")
    var interface: String
    @OptionGroup var mode: ModeOption
    @OptionGroup var pins: PinOptions

    func run() throws {
        do {
            let hook = try XDPHook(on: interface)
            print(words(try Attachments(pins: pins.directory).add(hook, mode: mode.mode)))
        } catch {
            throw refused(error, needing: ["CAP_BPF"])
        }
    }
}

/// `martlet detach [INTERFACE]`
struct Detach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "End the forwarding: on one interface, or everywhere.",
        discussion: "Without an interface the program and its tables go too. Packets for the VIPs "
            + "are then left to the kernel.")

    @Argument(help: "The interface; none: all, and the tables.")
    var interface: String?
    @Flag(help: "Also under a controller that runs.")
    var force = false
    @OptionGroup var pins: PinOptions

    func run() throws {
        do {
            let hook = try interface.map { name throws(BPF.Failure) in try XDPHook(on: name) }
            let holder = try pins.directory.holder()
            if let holder, !force { throw refusal(under: holder) }
            let wasThere = try detach(from: hook, under: holder)
            let place = interface.map { " \(wasThere ? "from" : "to") \($0)" } ?? ""
            print((wasThere ? "detached" : "nothing was attached") + place)
            if wasThere, let holder {
                print("the controller (\(holder)) runs on without it")
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
