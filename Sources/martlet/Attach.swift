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
            try Attachments(pins: pins.directory).add(hook, mode: mode.mode)
        } catch {
            throw refused(error)
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
    @OptionGroup var pins: PinOptions

    func run() throws {
        do {
            let attachments = Attachments(pins: pins.directory)
            let wasThere: Bool
            if let interface {
                wasThere = try attachments.remove(XDPHook(on: interface))
            } else {
                wasThere = try attachments.removeAll()
            }
            print(wasThere ? "detached" : "nothing was attached")
        } catch {
            throw refused(error)
        }
    }
}
