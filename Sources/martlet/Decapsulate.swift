import ArgumentParser
import BPF
import Balancing
import Netlink
import Packets
import XDPPlane

/// `martlet decapsulate INTERFACE`
struct Decapsulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "On a backend: take packets out of IP tunnels addressed to this host.",
        discussion: """
            It goes on after the command ends, on one interface or several. Run it again after an \
            address changed; with --stop it ends. `martlet counters --pins` shows what became of \
            the packets.

            Exit status: 0 done, 1 refused, 64 wrong usage.
            """)

    @Argument(help: "The interface on which the tunnelled packets arrive; none with --stop: all.")
    var interface: String?
    @OptionGroup var mode: ModeOption
    @Option(help: "The UDP port on which GUE arrives; 0: none.")
    var guePort: UInt16 = 6080
    @Flag(help: "End it on the interface.")
    var stop = false
    @Option(
        help: "The directory of the BPF file system that holds the program.",
        completion: .directory)
    var pins = PinOptions.decapsulator
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard stop || interface != nil else {
            throw ValidationError("name the interface on which the tunnelled packets arrive")
        }
    }

    func run() throws {
        do {
            let decapsulator = Decapsulator(pins: PinDirectory(pins))
            guard let interface else {
                let wasThere = try decapsulator.stop()
                return try output.write(Stopped(interface: nil, wasRunning: wasThere)) { _ in
                    wasThere ? "stopped" : "nothing was running"
                }
            }
            let hook = try XDPHook(on: interface)
            if stop {
                let wasThere = try decapsulator.stop(on: hook)
                return try output.write(Stopped(interface: interface, wasRunning: wasThere)) {
                    _ in "\(wasThere ? "stopped" : "nothing was running") on \(interface)"
                }
            }
            var routes = try RouteSocket()
            let addresses = try routes.addresses()
                .filter { $0.interface == hook.index }.map(\.address)
            guard !addresses.isEmpty else {
                throw BPF.Failure(
                    "decapsulate on", interface, because: "it has no address", cure: nil)
            }
            let attachment = try decapsulator.start(
                on: hook, for: addresses, guePort: guePort, mode: mode.mode)
            try output.write(AttachmentShown(attachment)) { _ in
                let list = addresses.map(\.description).joined(separator: ", ")
                return "\(words(attachment))\ntakes tunnelled packets for \(list)"
            }
        } catch {
            throw refused(error, needing: ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"])
        }
    }
}

/// Where tunnelled packets are taken no more.
private struct Stopped: Encodable {
    /// Nil: anywhere.
    let interface: String?
    let wasRunning: Bool
}
