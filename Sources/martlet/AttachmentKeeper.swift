import BPF
import Balancing
import Control
import Logging
import ServiceLifecycle
import XDPPlane

/// Keeps the program on the interfaces of the configuration: on one that is removed and made anew,
/// too.
///
/// Where somebody detached it on purpose it stays detached, and is told of.
actor AttachmentKeeper {
    private let interfaces: [String]
    private let mode: AttachMode
    private let attachments: Attachments
    private let logger: Logger
    /// The number of each interface where the program was seen last; nil: it is to be put there.
    private var seen: [String: UInt32] = [:]
    /// Why it does not run on an interface, as far as that has been told.
    private var obstacles: [String: String] = [:]
    private var refusal: String?

    init(_ desired: DesiredState, pins: PinDirectory, logger: Logger) {
        interfaces = desired.interfaces
        mode = desired.attachMode
        attachments = Attachments(pins: pins)
        self.logger = logger
    }

    /// Looks where the program runs, and puts it where it is missing; to be called every now and
    /// then.
    func look() {
        do throws(BPF.Failure) {
            let present = Set(try attachments.present().map(\.interface))
            for name in interfaces {
                let obstacle = present.contains(name) ? found(name) : restore(name)
                guard obstacles[name] != obstacle else { continue }
                obstacles[name] = obstacle
                if let obstacle { logger.warning("\(name) is without the program: \(obstacle)") }
            }
            refusal = nil
        } catch {
            if refusal != "\(error)" { logger.error("\(error)") }
            refusal = "\(error)"
        }
    }

    /// Every interface of the configuration, in its order, and others where the program runs.
    func status() throws(BPF.Failure) -> [Status.Interface] {
        let present = try attachments.present().map {
            Status.Interface(
                name: $0.interface, mode: $0.mode.map { "\($0)" }, program: $0.program)
        }
        let configured = interfaces.map { name in
            present.first { $0.name == name }
                ?? Status.Interface(
                    name: name,
                    obstacle: hook(name) == nil ? missing : obstacles[name] ?? "its program is gone"
                )
        }
        return configured + present.filter { !interfaces.contains($0.name) }
    }

    private func hook(_ name: String) -> XDPHook? { try? XDPHook(on: name) }

    private func found(_ name: String) -> String? {
        seen[name] = hook(name)?.index
        return nil
    }

    /// Puts the program on an interface; returns why it is not there then.
    private func restore(_ name: String) -> String? {
        guard let hook = hook(name) else {
            seen[name] = nil
            return missing
        }
        do throws(BPF.Failure) {
            guard try attachments.haveProgram() else {
                return "`martlet detach` removed it; stop this controller and start it anew"
            }
            if seen[name] == hook.index, try !attachments.isPinned(hook) {
                return "it was detached; `martlet attach` puts it back"
            }
            let attachment = try attachments.add(hook, mode: mode)
            seen[name] = hook.index
            logger.notice("program \(attachment.program) runs on \(name) again")
            return nil
        } catch {
            return "\(error)"
        }
    }
}

private let missing = "interface does not exist"

/// Has the keeper look every two seconds.
struct AttachmentService: ServiceLifecycle.Service {
    let keeper: AttachmentKeeper

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await keeper.look()
                try? await Task.sleep(for: .seconds(2))
            }
        }
    }
}
