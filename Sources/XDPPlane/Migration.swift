package import BPF
import CDatapath

/// The way from the program and the maps of one build to those of another, while packets pass.
///
/// New maps and the new program are pinned in a directory `next` beside the old ones. Then every
/// attachment is given the new program, which finds everything in the new maps; then what the old
/// one wrote until its last packet is brought over; then the new pins take the places of the old
/// ones. Wherever that is cut short, what is pinned says how far it came: see
/// ``finishOrUndo(in:)``.
package struct Migration: Sendable {
    private let pins: PinDirectory
    private let next: PinDirectory
    /// Of the tables inside those in `next`.
    private var staged: InnerPins { InnerPins(of: next) }
    /// By name, the maps that are replaced.
    private let pairs: [String: MapPair]
    /// Maps that only the new build has, or of which the pin was lost.
    private let added: [String: RawMap]
    private let program: SharedProgram
    /// The steps, in their order.
    package let steps: [Step]

    package enum Step: Hashable, Sendable {
        case openStage
        /// Pins a map there.
        case stage(String)
        case stageProgram
        /// From now on no flow gets an entry: each goes where it needs none, and so to the same
        /// backend whether the old program sees its packets or the new one.
        case freeze
        /// Copies what the program may change meanwhile.
        case copy(String)
        /// Gives an attachment the new program: from its next packet on.
        case replace(link: String)
        /// Until the old program has had its last packet.
        case wait
        /// Brings over what has changed since it was copied.
        case carry(String)
        case thaw
        /// Puts a pin in the place of the old one.
        case take(String)
        /// The same for tables inside tables, after those that name them.
        case takeInner
        /// Removes the pin of a map that only the old build had.
        case drop(String)
        case takeProgram
        case closeStage
    }

    static let stageName = "next"
    private static let flows = "flows"

    init(
        in pins: PinDirectory, pairs: [MapPair], added: [RawMap], program: SharedProgram
    ) throws(Failure) {
        self.pins = pins
        self.program = program
        next = pins.directory(Self.stageName)
        self.pairs = Dictionary(uniqueKeysWithValues: pairs.map { ($0.name, $0) })
        self.added = Dictionary(uniqueKeysWithValues: added.map { ($0.name, $0) })
        let names = (pairs.map(\.name) + added.map(\.name)).sorted()
        let changing = pairs.filter { MapWriters(of: $0.name).areNotOnlyTheController }
            .map(\.name).sorted()
        let end = try Self.end(
            taking: names, carrying: changing, for: program.program, in: pins)
        steps =
            [.openStage] + names.map(Step.stage) + [.stageProgram]
            + (changing.contains(Self.flows) ? [.freeze] : []) + changing.map(Step.copy)
            // Once more, and now it is quick: what is written from here on is missed for a while.
            + changing.filter(Self.isMissed).map(Step.copy) + end
    }

    /// From the first attachment that gets the new program on.
    private static func end(
        taking names: [String], carrying changing: [String], for program: borrowing Program,
        in pins: PinDirectory
    ) throws(Failure) -> [Step] {
        let used = Set(try program.mapIDs())
        let before = try mapsKnownInUse(in: pins)
        var links: [Step] = []
        var dropped: [Step] = []
        for name in try pins.entries() where !names.contains(name) {
            switch try pins.kind(of: name) {
            case .link:
                let link = try Link(pinnedAt: pins.path(of: name), name: name)
                // Of an interface that has gone nothing is left but the pin.
                if try link.attachment().interface != 0 { links.append(.replace(link: name)) }
            case .map:
                let id = try RawMap(pinnedAt: pins.path(of: name), name: name).id
                if before.contains(id), !used.contains(id) { dropped.append(.drop(name)) }
            case .program, nil: break
            }
        }
        // What is missed at once, and again when the old program can't write any more.
        return links + changing.filter(isMissed).map(Step.carry) + [.wait]
            + changing.map(Step.carry)
            + (changing.contains(flows) ? [.thaw] : []) + names.map(Step.take) + [.takeInner]
            + dropped + [.takeProgram, .closeStage]
    }

    /// Whether a packet is dropped that finds no flow in the map.
    private static func isMissed(_ map: String) -> Bool {
        if case .natFlows = MapWriters(of: map) { true } else { false }
    }

    /// Carries out all steps, or as many of the first ones as a test wants.
    ///
    /// - Returns: What came of it, for the log.
    @discardableResult
    package func run(_ steps: some Sequence<Step>) throws(Failure) -> [String] {
        var carrier = MapCarrier()
        var notes: [String] = []
        for step in steps { notes += try run(step, &carrier) }
        return notes
    }

    private func run(_ step: Step, _ carrier: inout MapCarrier) throws(Failure) -> [String] {
        switch step {
        case .openStage:
            try next.create()
            try staged.directory.create()
        case .stage(let name):
            try (pairs[name]?.new ?? added[name])?.pin(at: next.path(of: name))
        case .stageProgram: try program.program.pin(at: next.path(of: programPin))
        case .copy(let name): if let pair = pairs[name] { try carrier.copy(pair, pins, staged) }
        case .replace(let link):
            try Link(pinnedAt: pins.path(of: link), name: link).update(to: program.program)
        case .wait: try waitForRunningPrograms()
        case .carry(let name):
            if let pair = pairs[name] { return try carrier.carry(pair, pins, staged) }
        case .freeze: for directory in [pins, next] { try Self.freeze(true, in: directory) }
        case .thaw: for directory in [pins, next] { try Self.freeze(false, in: directory) }
        case .take(let name): try next.move(name, to: pins)
        case .takeInner:
            let taken = InnerPins(of: pins).directory
            try taken.create()
            for name in try staged.names() { try staged.directory.move("\(name)", to: taken) }
        case .drop(let name): try pins.remove(name)
        case .takeProgram: try next.move(programPin, to: pins)
        case .closeStage:
            try staged.directory.removeDirectory()
            try next.removeDirectory()
        }
        return []
    }

    /// Sees to what a killed controller left half-way.
    ///
    /// Where packets meet the new program already it has the newer truth, and the migration is
    /// brought to its end, whichever build began it. Else the old maps have lost nothing, and the
    /// new ones go.
    package static func finishOrUndo(in pins: PinDirectory) throws(Failure) {
        let next = pins.directory(stageName)
        let staged = InnerPins(of: next)
        let names = try next.entries().filter {
            $0 != programPin && $0 != InnerPins.directoryName
        }
        if try runsNext(pins, next) {
            let program = SharedProgram(
                try Program(pinnedAt: next.path(of: programPin), name: "martlet"))
            var pairs: [MapPair] = []
            var added: [RawMap] = []
            for name in names {
                let new = try RawMap(pinnedAt: next.path(of: name), name: name)
                if try pins.contains(name) {
                    let old = try RawMap(pinnedAt: pins.path(of: name), name: name)
                    pairs.append(MapPair(old: old, new: new, pins: InnerPins(of: pins)))
                } else {
                    added.append(new)
                }
            }
            let rest = try Migration(in: pins, pairs: pairs, added: added, program: program)
            try rest.run(rest.steps.drop { !$0.isOfTheEnd })
        } else {
            if try next.contains(programPin) { try freeze(false, in: pins) }
            for name in try staged.names() { try staged.remove(name) }
            try staged.directory.removeDirectory()
            for name in try next.entries() { try next.remove(name) }
            if try pins.contains(stageName) { try next.removeDirectory() }
        }
    }

    /// Says whether flows get entries, in settings of any build.
    private static func freeze(_ isFrozen: Bool, in pins: PinDirectory) throws(Failure) {
        let name = "settings"
        guard try pins.contains(name) else { return }
        let settings = try RawMap(pinnedAt: pins.path(of: name), name: name)
        guard var value = try settings.value(for: RawMap.key(0)),
            let place = MemoryLayout<martlet_settings>.offset(of: \.flags)
        else { return }
        let bit = UInt8(MARTLET_SETTING_FROZEN.rawValue)
        value[place] = isFrozen ? value[place] | bit : value[place] & ~bit
        try settings.set(value, for: RawMap.key(0))
    }

    /// Whether a packet may have met the program that is pinned in `next`.
    private static func runsNext(
        _ pins: PinDirectory, _ next: PinDirectory
    ) throws(Failure) -> Bool {
        guard try next.contains(programPin) else { return false }
        let id = try Program(pinnedAt: next.path(of: programPin), name: "martlet").id()
        for name in try pins.entries() where try pins.kind(of: name) == .link {
            let link = try Link(pinnedAt: pins.path(of: name), name: name)
            if try link.attachment().program == id { return true }
        }
        return false
    }
}

extension Migration.Step {
    /// Whether it may be done after the new program has had a packet.
    fileprivate var isOfTheEnd: Bool {
        switch self {
        case .openStage, .stage, .stageProgram, .freeze, .copy: false
        case .replace, .wait, .carry, .thaw, .take, .takeInner, .drop, .takeProgram, .closeStage:
            true
        }
    }
}

extension MapWriters {
    /// Whether the map may change while a controller does nothing.
    fileprivate var areNotOnlyTheController: Bool {
        if case .controller = self { false } else { true }
    }
}

/// A program that several values refer to.
final class SharedProgram: Sendable {
    let program: Program

    init(_ program: consuming Program) { self.program = program }
}
