import BPF

/// What to do about the program that has taken the hook.
///
/// - Parameter pins: Of the one that was to be put there; where others have theirs is looked for
///   beside them.
func cure(
    for occupant: XDPHook.Occupant, on hook: XDPHook, beside pins: PinDirectory
) -> String {
    let present = "\(hook.interface) already has an XDP program (id \(occupant.program))"
    if let owner = owner(of: occupant, on: hook, beside: pins) {
        let isDecapsulator = (try? Decapsulator(pins: owner).isThere()) == true
        let command =
            isDecapsulator ? "decapsulate \(hook.interface) --stop" : "detach \(hook.interface)"
        return "\(present), which is Martlet's own; end it: `martlet \(command) --pins "
            + "\(owner.path)`"
    }
    if let link = try? hook.link(holding: occupant) {
        return "\(present), held by link \(link); end what made it, or cut it off: `bpftool link "
            + "detach id \(link)`"
    }
    let mode = occupant.mode == .native ? "xdpdrv" : "xdpgeneric"
    return "\(present); remove it: `ip link set dev \(hook.interface) \(mode) off`"
}

/// The directory in which Martlet keeps `occupant` pinned; nil: it is not Martlet's, or its pins
/// are elsewhere.
private func owner(
    of occupant: XDPHook.Occupant, on hook: XDPHook, beside pins: PinDirectory
) -> PinDirectory? {
    let parent = String(pins.path[..<(pins.path.lastIndex(of: "/") ?? pins.path.startIndex)])
    let names = (try? PinDirectory(parent).entries()) ?? []
    return names.map { PinDirectory("\(parent)/\($0)") }.first {
        Attachments(pins: $0).holds(occupant, on: hook)
    }
}
