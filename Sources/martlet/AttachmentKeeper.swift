import BPF
import Balancing
import Control
import Logging
import ServiceLifecycle
import Synchronization
import XDPPlane

/// Keeps the program on the interfaces of the configuration: on one that is removed and made anew,
/// too.
///
/// Where somebody detached it on purpose it stays detached, and is told of.
final class AttachmentKeeper: InterfaceKeeper {
    private let state: Mutex<Keeping>

    init(_ desired: DesiredState, pins: PinDirectory, events: EventLog) {
        state = Mutex(Keeping(desired, Attachments(pins: pins), events))
    }

    /// Looks where the program runs, and puts it where it is missing; to be called every now and
    /// then.
    func look() { state.withLock { $0.look() } }

    /// Every interface of the configuration, in its order, and others where the program runs.
    func status() throws(BPF.Failure) -> [Status.Interface] {
        try state.withLock { state throws(BPF.Failure) in try state.status() }
    }

    func widen(to interfaces: [String], mode: AttachMode) throws {
        try state.withLock { try $0.widen(to: interfaces, mode: mode) }
    }

    func narrow(to interfaces: [String], mode: AttachMode) {
        state.withLock { $0.narrow(to: interfaces, mode: mode) }
    }
}

/// Where the program is to run, and where it was seen.
private struct Keeping {
    private var interfaces: [String]
    private var mode: AttachMode
    private let attachments: Attachments
    private let events: EventLog
    /// The number of each interface where the program was seen last; nil: it is to be put there.
    private var seen: [String: UInt32] = [:]
    /// Why it does not run on an interface, as far as that has been told.
    private var obstacles: [String: String] = [:]
    private var refusal: String?

    init(_ desired: DesiredState, _ attachments: Attachments, _ events: EventLog) {
        interfaces = desired.interfaces
        mode = desired.attachMode
        self.attachments = attachments
        self.events = events
    }

    /// All or none: where it was put in vain it is taken back. Those that have it, or will get it
    /// when they are there, are not asked for, unless the mode changes.
    mutating func widen(to wanted: [String], mode wantedMode: AttachMode) throws(BPF.Failure) {
        let (before, modeBefore) = (interfaces, mode)
        let added = wanted.filter { !interfaces.contains($0) }
        let hooks = try XDPHook.all(on: added)
        do throws(BPF.Failure) {
            for hook in hooks {
                try put(on: hook, wantedMode)
                interfaces.append(hook.interface)
            }
            if wantedMode != mode {
                mode = wantedMode
                for hook in before.compactMap(hook) { try put(on: hook, wantedMode) }
            }
        } catch {
            narrow(to: before, mode: modeBefore)
            throw error
        }
    }

    /// Leaves alone what somebody attached by hand.
    mutating func narrow(to wanted: [String], mode wantedMode: AttachMode) {
        for name in interfaces where !wanted.contains(name) {
            (seen[name], obstacles[name]) = (nil, nil)
            guard let hook = hook(name) else { continue }
            do throws(BPF.Failure) {
                _ = try attachments.remove(hook)
                events.tell(.notice, .attachment, "the program is taken from \(name)")
            } catch {
                events.log(trouble: "\(error)")
            }
        }
        interfaces = wanted
        guard wantedMode != mode else { return }
        mode = wantedMode
        for hook in interfaces.compactMap(hook) {
            do throws(BPF.Failure) { try put(on: hook, mode) } catch {
                events.log(trouble: "\(error)")
            }
        }
    }

    private mutating func put(on hook: XDPHook, _ mode: AttachMode) throws(BPF.Failure) {
        let attachment = try attachments.add(hook, mode: mode)
        seen[hook.interface] = hook.index
        events.tell(
            .notice, .attachment, "program \(attachment.program) runs on \(hook.interface)")
    }

    /// Looks where the program runs, and puts it where it is missing; to be called every now and
    /// then.
    mutating func look() {
        do throws(BPF.Failure) {
            let present = Set(try attachments.present().map(\.interface))
            for name in interfaces {
                let obstacle = present.contains(name) ? found(name) : restore(name)
                guard obstacles[name] != obstacle else { continue }
                obstacles[name] = obstacle
                if let obstacle {
                    events.tell(
                        .warning, .attachment, "\(name) is without the program: \(obstacle)")
                }
            }
            refusal = nil
        } catch {
            if refusal != "\(error)" { events.log(trouble: "\(error)") }
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

    private mutating func found(_ name: String) -> String? {
        seen[name] = hook(name)?.index
        return nil
    }

    /// Puts the program on an interface; returns why it is not there then.
    private mutating func restore(_ name: String) -> String? {
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
            events.tell(.notice, .attachment, "program \(attachment.program) runs on \(name) again")
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
                keeper.look()
                try? await Task.sleep(for: .seconds(2))
            }
        }
    }
}
