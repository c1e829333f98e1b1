import BPF
import CDatapath
import Glibc

/// What becomes of every map of a data path that is to go on with what is in `pins`.
struct TakeoverPlan: Sendable {
    /// Of the right shape: used as they are.
    private(set) var kept: [RawMap] = []
    /// Of another shape: a new one takes the place of each.
    private(set) var replaced: [Replacement] = []
    /// Those that nobody has yet.
    private(set) var missing: [String] = []
    /// Those of ``kept`` and ``replaced`` that have no pin any more: somebody removed it.
    private(set) var unpinned: Set<String> = []

    struct Replacement: Sendable {
        let old: RawMap
        let shape: MapShape
        let inner: MapShape?
    }

    /// What is worth nothing to another program: notes of questions that are under way, and of the
    /// packet at hand.
    private static let volatile: Set<String> = ["answer_notes", "answer_at_hand"]

    /// The maps of the object that outlive a program.
    static func names(in file: borrowing ObjectFile) -> [String] {
        file.mapNames.filter { !$0.contains(".") && !volatile.contains($0) }
    }

    init(for file: borrowing ObjectFile, in pins: PinDirectory) throws(Failure) {
        let names = Self.names(in: file)
        let lost = try LostPins(
            in: pins, of: names, besides: file.mapNames.count - names.count)
        for name in names {
            let shape = try file.shape(of: name)
            let inner = try file.innerShape(of: name)
            let present: RawMap
            if try pins.contains(name) {
                present = try RawMap(pinnedAt: pins.path(of: name), name: name)
            } else if let found = try lost.map(name, like: shape) {
                present = found
                unpinned.insert(name)
            } else {
                missing.append(name)
                continue
            }
            if present.shape == shape, try inner.map(present.holds) ?? true {
                kept.append(present)
            } else {
                try checkThatItCanBeReplaced(present, by: shape)
                replaced.append(Replacement(old: present, shape: shape, inner: inner))
            }
        }
        try checkABI(in: pins)
    }

    /// Whether this build understands the tables; structs only grow while the number is the same.
    private func checkABI(in pins: PinDirectory) throws(Failure) {
        let settings = (kept + replaced.map(\.old)).first { $0.name == "settings" }
        let abi = try settings?.value(for: RawMap.key(0)).map { RawMap.word($0) } ?? 0
        guard abi == MARTLET_ABI else { throw ofAnotherVersion(abi, pins) }
    }
}

/// A refusal of tables that this build does not understand.
func ofAnotherVersion(_ abi: UInt32, _ pins: PinDirectory) -> Failure {
    Failure(
        "take over the tables in", pins.path,
        because: "they were made by another version (ABI \(abi), this one has \(MARTLET_ABI))",
        cure: "`martlet detach` removes them: packets for the VIPs then go to the kernel")
}

private func checkThatItCanBeReplaced(
    _ map: RawMap, by shape: MapShape
) throws(Failure) {
    let reason: String
    let written = MapWriters(of: map.name)
    if map.shape.kind != shape.kind || map.shape.keySize != shape.keySize {
        reason = "it is of kind \(map.shape.kind) with keys of \(map.shape.keySize) bytes, in this "
            + "version \(shape.kind) with \(shape.keySize)"
    } else if shape.capacity < map.shape.capacity, written.needsAllEntries {
        reason = "it has \(map.shape.capacity) entries, in this version \(shape.capacity)"
    } else {
        return
    }
    throw Failure(
        "take over the table", map.name, because: reason,
        cure: "`martlet detach` removes it: packets for the VIPs then go to the kernel")
}

extension MapWriters {
    /// Whether the program may write any entry at any moment, and none can be done without.
    fileprivate var needsAllEntries: Bool {
        switch self {
        case .flows, .natFlows, .loads, .turns: true
        case .controller, .counting, .programForATick, .programForAWhile: false
        }
    }
}

extension RawMap {
    /// Whether the map, which holds maps, takes such as have this shape.
    fileprivate func holds(_ inner: MapShape) throws(Failure) -> Bool {
        // The kernel says whether it would take one. Nothing has the number 0.
        let probe = try RawMap(creating: inner, named: "probe")
        do throws(Failure) { try set(inner: probe, at: 0) } catch { return false }
        try remove(RawMap.key(0))
        return true
    }
}

extension MapShape {
    /// Whether a map of this shape may be where one of the other is wanted.
    func stands(for other: MapShape) -> Bool {
        var like = self
        if flags.contains(.innerOfAnySize) { like.capacity = other.capacity }
        return like == other
    }
}

/// Maps that the program uses and of which somebody has removed the pin.
private struct LostPins {
    private var maps: [RawMap] = []

    /// - Parameters:
    ///   - names: What is to be pinned: nobody looks for more.
    ///   - count: How many maps the program has that are not.
    init(in pins: PinDirectory, of names: [String], besides count: Int) throws(Failure) {
        var isLacking = false
        for name in names where try !pins.contains(name) { isLacking = true }
        guard isLacking else { return }
        do throws(Failure) { try find(in: pins, besides: count) } catch {
            throw error.needingMore(Self.cause)
        }
    }

    private static let cause = "the pin of a table is gone, and only CAP_SYS_ADMIN finds it without"

    private mutating func find(in pins: PinDirectory, besides count: Int) throws(Failure) {
        guard let ids = try mapsInUse(in: pins), !ids.isEmpty else { return }
        var pinned: Set<UInt32> = []
        for name in try pins.entries() where try pins.kind(of: name) == .map {
            pinned.insert(try RawMap(pinnedAt: pins.path(of: name), name: name).id)
        }
        let others = ids.filter { !pinned.contains($0) }
        do throws(Failure) {
            for id in others { maps.append(try RawMap(id: id, name: "of the program")) }
        } catch {
            // Just those that are never pinned: what is missing is a table that only we have.
            guard error.code == EPERM, others.count == count else { throw error }
        }
    }

    /// The one that was pinned as `name`: the kernel keeps the first 15 bytes of the name.
    func map(_ name: String, like shape: MapShape) throws(Failure) -> RawMap? {
        let alike = maps.filter {
            $0.kernelName == name.prefix(15) && $0.shape.kind == shape.kind
                && $0.shape.keySize == shape.keySize
        }
        let found = alike.count == 1 ? alike.first : alike.first { $0.shape == shape }
        guard let found else { return nil }
        return try RawMap(id: found.id, name: name)
    }
}

/// The numbers of the maps of the program that runs, or that is pinned; nil: there is none.
///
/// One that runs and has no pin is opened by its number, which takes CAP_SYS_ADMIN.
func mapsInUse(in pins: PinDirectory) throws(Failure) -> [UInt32]? {
    for name in try pins.entries() where name.hasPrefix(linkPrefix) {
        guard try pins.kind(of: name) == .link else { continue }
        let link = try Link(pinnedAt: pins.path(of: name), name: name)
        let attachment = try link.attachment()
        guard attachment.interface != 0 else { continue }
        for path in try programPaths(in: pins) {
            let program = try Program(pinnedAt: path, name: "martlet")
            if try program.id() == attachment.program { return try program.mapIDs() }
        }
        return try Program(id: attachment.program, name: "martlet").mapIDs()
    }
    guard try pins.kind(of: programPin) == .program else { return nil }
    return try Program(pinnedAt: pins.path(of: programPin), name: "martlet").mapIDs()
}

/// The same; none where only CAP_SYS_ADMIN could tell.
func mapsKnownInUse(in pins: PinDirectory) throws(Failure) -> Set<UInt32> {
    do throws(Failure) { return Set(try mapsInUse(in: pins) ?? []) } catch {
        guard error.code == EPERM else { throw error }
        return []
    }
}

/// Wherever a program of ours is pinned, for good or on the way.
private func programPaths(in pins: PinDirectory) throws(Failure) -> [String] {
    let next = pins.directory(Migration.stageName)
    var paths: [String] = []
    for (directory, name) in [(pins, programPin), (pins, passingProgramPin), (next, programPin)]
    where try directory.kind(of: name) == .program {
        paths.append(directory.path(of: name))
    }
    return paths
}
