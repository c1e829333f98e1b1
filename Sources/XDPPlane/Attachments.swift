public import BPF
public import Balancing
import Glibc

/// The program on its interfaces, held there by pinned links.
public struct Attachments: Sendable {
    let pins: PinDirectory

    public init(pins: PinDirectory) { self.pins = pins }

    /// A program on an interface.
    public struct Attachment: Sendable, Hashable {
        /// The interface's name; its number if it has gone.
        public let interface: String
        public let mode: XDPMode?
        /// The kernel's number of the program, as `ip link` and `bpftool` show it.
        public let program: UInt32
    }

    /// What is attached now, in the order of the interfaces' numbers.
    public func present() throws(Failure) -> [Attachment] {
        var found: [Attachment] = []
        for name in try linkPins() {
            let attachment = try Link(pinnedAt: pins.path(of: name), name: name).attachment()
            guard let interface = interfaceName(attachment.interface) else { continue }
            found.append(self.attachment(of: attachment.program, to: interface))
        }
        return found
    }

    /// An interface that goes while it is asked has no mode.
    private func attachment(of program: UInt32, to interface: String) -> Attachment {
        let occupant = try? XDPHook(on: interface).occupant()
        return Attachment(interface: interface, mode: occupant?.mode, program: program)
    }

    /// Whether one of our links is what holds `occupant` on the hook.
    func holds(_ occupant: XDPHook.Occupant, on hook: XDPHook) -> Bool {
        let path = pins.path(of: pinName(hook.index))
        guard let link = try? Link(pinnedAt: path, name: hook.interface),
            let attachment = try? link.attachment()
        else { return false }
        return attachment.interface == hook.index && attachment.program == occupant.program
    }

    /// Whether there is a pin for the hook: nobody has ended the attachment, though the kernel may
    /// have.
    public func isPinned(_ hook: XDPHook) throws(Failure) -> Bool {
        try pins.contains(pinName(hook.index))
    }

    /// Whether there is a program that ``add(_:mode:)`` can attach.
    public func haveProgram() throws(Failure) -> Bool { try pins.contains(programPin) }

    /// Has `program`, and no older one of ours, on all of `hooks` and nowhere else.
    ///
    /// All new attachments are made before anything is pinned or replaced, so that a refusal
    /// leaves everything as it was. Where an older program of ours runs it is replaced with no
    /// packet in between.
    public func set(
        _ program: borrowing Program, on hooks: [XDPHook], mode: AttachMode
    ) throws(Failure) {
        try put(program, on: hooks, mode: mode)
        try drop { index in !hooks.contains { $0.index == index } }
    }

    /// The same, but leaves alone what runs elsewhere.
    func put(
        _ program: borrowing Program, on hooks: [XDPHook], mode: AttachMode
    ) throws(Failure) {
        var replaced: [XDPHook] = []
        var fresh: [XDPHook] = []
        for hook in hooks {
            if try isOurs(hook, mode) { replaced.append(hook) } else { fresh.append(hook) }
        }
        try attach(program, to: fresh[...], mode: mode)
        for hook in replaced {
            let path = pins.path(of: pinName(hook.index))
            try Link(pinnedAt: path, name: hook.interface).update(to: program)
        }
        try replacePin(of: program)
    }

    /// Attaches the pinned program to one more interface; says what runs there then.
    @discardableResult
    public func add(_ hook: XDPHook, mode: AttachMode) throws(Failure) -> Attachment {
        guard try haveProgram() else {
            let cure =
                try pins.holder().map {
                    "stop the controller that runs (\($0)), and start `martlet run` anew: it loads "
                        + "the program and pins it there"
                } ?? "start `martlet run` once: it loads the program and pins it there"
            throw Failure(
                "attach to", hook.interface, because: "there is no program in \(pins.path)",
                cure: cure)
        }
        let program = try Program(pinnedAt: pins.path(of: programPin), name: "martlet")
        if try !isOurs(hook, mode) {
            if try pins.contains("settings"), try includeVeth([hook]) {
                try redirectReplies(true, by: Tables.settings(pinnedIn: pins))
            }
            try attach(program, to: [hook], mode: mode)
        }
        // Of an interface that has gone nothing is left but the pin.
        try drop { index in interfaceName(index) == nil }
        return attachment(of: try program.id(), to: hook.interface)
    }

    /// Ends the attachment to one interface; says whether there was one.
    public func remove(_ hook: XDPHook) throws(Failure) -> Bool {
        guard try isPinned(hook) else { return false }
        try pins.remove(pinName(hook.index))
        return true
    }

    /// Ends every attachment and removes program and tables; says whether there was anything.
    ///
    /// What somebody else pinned there stays: see ``foreign()``.
    public func removeAll() throws(Failure) -> Bool {
        let wasThere = try removeEntries()
        if try pins.entries().isEmpty { try pins.removeDirectory() }
        return wasThere
    }

    /// The same, but leaves the directory: whoever starts or runs holds its lock.
    public func removeEntries() throws(Failure) -> Bool {
        let ours = try OurPins(in: pins)
        let (entries, staged) = (ours.names, ours.staged)
        let isNone = entries.isEmpty && staged.isEmpty && ours.inner.isEmpty
            && ours.stagedInner.isEmpty
        // Links first: no packet meets a program whose tables are going.
        for name in entries where name.hasPrefix(linkPrefix) { try pins.remove(name) }
        let next = pins.directory(Migration.stageName)
        for name in staged { try next.remove(name) }
        try InnerPins(of: next).remove(all: ours.stagedInner)
        if try pins.contains(Migration.stageName), try next.entries().isEmpty {
            try next.removeDirectory()
        }
        for name in entries where !name.hasPrefix(linkPrefix) { try pins.remove(name) }
        try InnerPins(of: pins).remove(all: ours.inner)
        return !isNone
    }

    /// What is in the directory and not Martlet's.
    public func foreign() throws(Failure) -> [String] {
        let ours = try OurPins(in: pins)
        let isInnerOurs = try InnerPins(of: pins).directory.entries().count == ours.inner.count
        return try pins.entries().filter {
            !ours.names.contains($0) && !($0 == Migration.stageName && !ours.staged.isEmpty)
                && !($0 == InnerPins.directoryName && isInnerOurs)
        }
    }

    private func pinName(_ index: UInt32) -> String { "\(linkPrefix)\(index)" }

    private func linkPins() throws(Failure) -> [String] {
        try pins.entries().filter { $0.hasPrefix(linkPrefix) }
    }

    private func drop(where isUnwanted: (UInt32) -> Bool) throws(Failure) {
        for name in try linkPins() {
            if let index = UInt32(name.dropFirst(linkPrefix.count)), isUnwanted(index) {
                try pins.remove(name)
            }
        }
    }

    /// Whether our link is on the hook, alive and in a mode that was asked for; a dead one is
    /// removed.
    private func isOurs(_ hook: XDPHook, _ mode: AttachMode) throws(Failure) -> Bool {
        let name = pinName(hook.index)
        guard try pins.contains(name) else { return false }
        let link = try Link(pinnedAt: pins.path(of: name), name: hook.interface)
        let attached = try link.attachment().interface == hook.index
        let occupant = try hook.occupant()
        if attached, mode == .auto || occupant?.mode == XDPMode(mode) { return true }
        try pins.remove(name)
        return false
    }

    /// Attaches to all of `hooks` or to none: a link that is not pinned ends with this function.
    private func attach(
        _ program: borrowing Program, to hooks: ArraySlice<XDPHook>, mode: AttachMode
    ) throws(Failure) {
        guard let hook = hooks.first else { return }
        let link = try make(program, to: hook, mode: mode)
        try attach(program, to: hooks.dropFirst(), mode: mode)
        try link.pin(at: pins.path(of: pinName(hook.index)))
    }

    private func make(
        _ program: borrowing Program, to hook: XDPHook, mode: AttachMode
    ) throws(Failure) -> Link {
        guard let only = XDPMode(mode) else {
            do throws(Failure) { return try make(program, to: hook, in: .native) } catch {
                guard driverRefusals.contains(error.code) else { throw error }
                return try make(program, to: hook, in: .generic)
            }
        }
        return try make(program, to: hook, in: only)
    }

    private func make(
        _ program: borrowing Program, to hook: XDPHook, in mode: XDPMode
    ) throws(Failure) -> Link {
        do throws(Failure) {
            return try program.attach(
                toInterface: hook.index, named: hook.interface, mode: mode)
        } catch {
            if error.code == EBUSY || error.code == EEXIST, let occupant = try hook.occupant() {
                throw error.cured(by: cure(for: occupant, on: hook, beside: pins))
            }
            if mode == .native, driverRefusals.contains(error.code) {
                throw error.cured(
                    by: "the driver can't run XDP as \(hook.interface) is set up; "
                        + "mode `generic` works everywhere, `auto` takes what works")
            }
            throw error
        }
    }

    private func replacePin(of program: borrowing Program) throws(Failure) {
        let passing = passingProgramPin
        try pins.remove(passing)
        try program.pin(at: pins.path(of: passing))
        try pins.move(passing, to: pins, as: programPin)
    }
}

/// What drivers answer that can't do XDP, or not with this MTU or these offloads.
private let driverRefusals: Set<Int32> = [EOPNOTSUPP, ERANGE, EINVAL, ENOSPC]

package func interfaceName(_ index: UInt32) -> String? {
    var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
    guard unsafe if_indextoname(index, &name) != nil else { return nil }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

extension XDPMode {
    /// The one mode that was asked for; nil where any will do.
    init?(_ mode: AttachMode) {
        switch mode {
        case .native: self = .native
        case .generic: self = .generic
        case .auto: return nil
        }
    }
}
