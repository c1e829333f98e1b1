import BPF
import Synchronization

/// The way to tables inside tables, of which the kernel tells the numbers only: see ``InnerPins``.
///
/// Before a plane is pinned anywhere, as one that is only tried always is, they are kept open.
final class InnerTables: Sendable {
    private struct State {
        /// Nil: nothing is pinned yet.
        var pins: InnerPins?
        var open: [InnerPins.Name: RawMap] = [:]
    }

    private let state: Mutex<State>

    /// What is beyond is opened by its number: root alone fills so many before they are pinned, and
    /// a process may have but 1,024 files open.
    private static let mostOpen = 256

    /// - Parameter pins: Where the tables are pinned; nil: nowhere yet.
    init(of pins: PinDirectory?) {
        state = Mutex(State(pins: pins.map { InnerPins(of: $0) }))
    }

    /// Sees to it that the table can be opened; before another one names it.
    func add(
        _ table: borrowing some AnyMap & ~Copyable, as name: InnerPins.Name
    ) throws(Failure) {
        let map = try RawMap(duplicating: table, name: "\(name)")
        let pins = state.withLock { state in
            state.open[name] = nil
            if state.pins == nil, state.open.count < Self.mostOpen { state.open[name] = map }
            return state.pins
        }
        try pins?.pin(map, as: name)
    }

    /// No table names it any more.
    func remove(_ name: InnerPins.Name) throws(Failure) {
        let pins = state.withLock { state in
            state.open[name] = nil
            return state.pins
        }
        try pins?.remove(name)
    }

    /// The table that has the kernel's number `id`.
    func open<Key, Value>(
        _ name: InnerPins.Name, id: UInt32
    ) throws(Failure) -> Map<Key, Value> {
        let (known, pins) = state.withLock { ($0.open[name], $0.pins) }
        if let known, known.id == id { return try Map(duplicating: known, name: "\(name)") }
        guard let pins else { return try Map(id: id, name: "\(name)") }
        return try Map(duplicating: try pins.open(name, id: id), name: "\(name)")
    }

    /// Pins those that are open, and from now on each that is added.
    func begin(in directory: PinDirectory) throws(Failure) {
        let pins = InnerPins(of: directory)
        try pins.directory.create()
        let open = state.withLock { $0.open }
        for (name, map) in open { try pins.pin(map, as: name) }
        state.withLock { $0.pins = pins }
    }

    /// Has pins of just these tables, each given with the kernel's number.
    func settle(_ tables: [InnerPins.Name: UInt32]) throws(Failure) {
        try state.withLock { $0.pins }?.settle(tables)
    }
}
