package import BPF

/// A data path that is in the kernel and will go on with what is pinned; of this build or another.
///
/// Nothing is attached, pinned or replaced until ``migration`` is run.
package struct Takeover: ~Copyable {
    package let object: Object
    /// What it takes to get there; nil: all tables are used as they are, or there are none yet.
    package let migration: Migration?
    /// Whether there was nothing to take over.
    package let isFirst: Bool
    /// What is done to the tables, a line for each, for the log.
    package let notes: [String]

    /// Loads `image`, an object with the program `martlet`, for what is in `pins`.
    package init(image: Span<UInt8>, in pins: PinDirectory) throws(Failure) {
        let file = try ObjectFile(named: "martlet", image: image)
        guard try Tables.arePinned(in: pins) else {
            object = try file.load()
            migration = nil
            isFirst = true
            notes = []
            return
        }
        try Migration.finishOrUndo(in: pins)
        let plan = try TakeoverPlan(for: file, in: pins)
        for map in plan.kept { try file.reuse(map) }
        let object = try file.load()
        var pairs: [MapPair] = []
        for replacement in plan.replaced {
            let pair = MapPair(
                old: replacement.old, new: try object.rawMap(named: replacement.old.name),
                inner: replacement.inner, pins: InnerPins(of: pins))
            if case .controller = MapWriters(of: pair.name) { try pair.copyAll() }
            pairs.append(pair)
        }
        var added = plan.kept.filter { plan.unpinned.contains($0.name) }
        for name in plan.missing { added.append(try object.rawMap(named: name)) }
        let migration = try Migration(
            in: pins, pairs: pairs, added: added,
            program: SharedProgram(try object.program(named: "martlet")))
        self.object = object
        self.migration = migration.isNeeded ? migration : nil
        isFirst = false
        notes = plan.notes
    }
}

extension Migration {
    /// Whether it changes anything but the program.
    fileprivate var isNeeded: Bool {
        steps.contains {
            switch $0 {
            case .stage, .drop: true
            default: false
            }
        }
    }
}

extension TakeoverPlan {
    fileprivate var notes: [String] {
        replaced.map {
            let (old, new) = ($0.old.shape, $0.shape)
            let inner = $0.inner.map { ", maps with values of \($0.valueSize) bytes" } ?? ""
            return "table \($0.old.name) is replaced: \(old.capacity) entries of \(old.valueSize) "
                + "bytes were there, \(new.capacity) of \(new.valueSize) are wanted\(inner)"
        } + missing.map { "table \($0) is new" }
            + unpinned.sorted().map { "table \($0) had lost its pin" }
    }
}
