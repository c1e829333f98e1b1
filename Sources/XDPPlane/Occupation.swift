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
        let end = "`martlet \(command) --pins \(owner.path)`"
        if let holder = try? owner.holder() {
            return "\(present), of a controller that runs (\(holder)); stop that one, and end what "
                + "it leaves: \(end)"
        }
        return "\(present), which is Martlet's own; end it: \(end)"
    }
    let mode = occupant.mode == .native ? "xdpdrv" : "xdpgeneric"
    let removal = "`ip link set dev \(hook.interface) \(mode) off`"
    do throws(Failure) {
        guard let link = try hook.link(holding: occupant) else {
            return "\(present); remove it: \(removal)"
        }
        return "\(present), held by link \(link); end what made it, or cut it off: `bpftool link "
            + "detach id \(link)`"
    } catch {
        // Who lacks CAP_SYS_ADMIN can't know which of the two it is.
        return "\(present); end what made it. As root: `bpftool link` shows the link that holds "
            + "it, `bpftool link detach` cuts that off; if there is none: \(removal)"
    }
}

/// The directory in which Martlet keeps `occupant` pinned; nil: it is not Martlet's, or its pins
/// are in a BPF file system that is not ours to see.
private func owner(
    of occupant: XDPHook.Occupant, on hook: XDPHook, beside pins: PinDirectory
) -> PinDirectory? {
    let parent = PinDirectory(
        String(pins.path[..<(pins.path.lastIndex(of: "/") ?? pins.path.startIndex)]))
    let standard = PinDirectory(PinDirectory.standardParent)
    return (directories(in: parent) + directories(in: standard)).first {
        Attachments(pins: $0).holds(occupant, on: hook)
    }
}

/// Those in `directory`, and those in these, as deep as anybody will put pins.
private func directories(in directory: PinDirectory, depth: Int = 4) -> [PinDirectory] {
    guard depth > 0 else { return [] }
    let inside = ((try? directory.entries()) ?? []).filter { name in
        (try? directory.isDirectory(name)) == true
    }
    return inside.flatMap { name in
        let found = directory.directory(name)
        return [found] + directories(in: found, depth: depth - 1)
    }
}
