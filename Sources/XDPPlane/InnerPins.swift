import BPF
import Glibc

/// The pins of tables inside tables: of a service's slots, of the ports of an address.
///
/// What is in a table of tables says the number of each only, and to open a table by its number
/// takes CAP_SYS_ADMIN. A pin takes no capability: the owner of the directory may open it.
///
/// A table is pinned before another one names it, and unpinned when none does any more. So a kill
/// leaves a pin too many, which ``settle(_:)`` removes, and never a table without.
struct InnerPins: Sendable {
    /// A directory of their own: there may be as many as services.
    static let directoryName = "inner"

    let directory: PinDirectory

    /// Those that belong to the tables in `pins`.
    init(of pins: PinDirectory) { directory = pins.directory(Self.directoryName) }

    /// What the table of this number is pinned as; the BPF file system takes no name with a dot.
    struct Name: Sendable, Hashable, CustomStringConvertible {
        enum Kind: String, Sendable, CaseIterable {
            case slots
            case nat
        }

        let kind: Kind
        /// The service's number, or the address's.
        let number: UInt32

        var description: String { "\(kind.rawValue)-\(number)" }

        init(_ kind: Kind, _ number: UInt32) { (self.kind, self.number) = (kind, number) }

        /// Nil: the entry is not called like one of ours.
        init?(_ entry: String) {
            let words = entry.split(separator: "-", omittingEmptySubsequences: false)
            guard words.count == 2, let kind = Kind(rawValue: String(words[0])),
                let number = UInt32(words[1]), String(number) == words[1]
            else { return nil }
            self.init(kind, number)
        }

        /// The name of what is under `index` in the table of tables `outer`.
        init(in outer: RawMap, at index: Int) {
            self.init(outer.name == "nat_tables" ? .nat : .slots, UInt32(index))
        }
    }

    /// The table that has the kernel's number `id`: by its pin, or by the number if it has none or
    /// that is of another table.
    func open(_ name: Name, id: UInt32) throws(Failure) -> RawMap {
        if let pinned = try pinned(name), pinned.id == id { return pinned }
        do throws(Failure) { return try RawMap(id: id, name: "\(name)") } catch {
            throw error.lackingPin(in: directory)
        }
    }

    /// The table under the index of a table of tables; nil: there is none.
    func open(_ index: Int, of outer: RawMap) throws(Failure) -> RawMap? {
        guard let id = try outer.innerID(index) else { return nil }
        return try open(Name(in: outer, at: index), id: id)
    }

    /// Pins a table, in the place of another one if need be.
    func pin(_ map: RawMap, as name: Name) throws(Failure) {
        try directory.remove("\(name)")
        try map.pin(at: directory.path(of: "\(name)"))
    }

    func remove(_ name: Name) throws(Failure) { try directory.remove("\(name)") }

    /// Removes these, and the directory if nothing is left in it.
    func remove(all names: [Name]) throws(Failure) {
        for name in names { try remove(name) }
        if try directory.entries().isEmpty { try directory.removeDirectory() }
    }

    /// The entries that are ours.
    func names() throws(Failure) -> [Name] {
        var found: [Name] = []
        for entry in try directory.entries() {
            guard let name = Name(entry), try directory.kind(of: entry) == .map else { continue }
            found.append(name)
        }
        return found
    }

    /// Has pins of just these tables, each given with the kernel's number: those that have none,
    /// because another build made them or somebody removed it, get one.
    func settle(_ tables: [Name: UInt32]) throws(Failure) {
        try directory.create()
        for entry in try directory.entries() {
            guard let name = Name(entry), tables[name] == nil,
                try directory.kind(of: entry) == .map
            else { continue }
            try remove(name)
        }
        for (name, id) in tables where try pinned(name)?.id != id {
            try pin(try open(name, id: id), as: name)
        }
    }

    private func pinned(_ name: Name) throws(Failure) -> RawMap? {
        let entry = "\(name)"
        guard try directory.kind(of: entry) == .map else { return nil }
        return try RawMap(pinnedAt: directory.path(of: entry), name: entry)
    }
}

extension Failure {
    /// The same with what helps, if it was for lack of a pin that a number was asked for.
    fileprivate func lackingPin(in directory: PinDirectory) -> Failure {
        needingMore("it has no pin in \(directory.path), and only CAP_SYS_ADMIN opens it without")
    }

    /// The same with what helps, if only CAP_SYS_ADMIN could do what was refused, because of
    /// `cause`.
    func needingMore(_ cause: String) -> Failure {
        guard code == EPERM else { return self }
        return cured(
            by: "\(cause): start once with that as well; or `martlet detach` first: packets for "
                + "the VIPs then go to the kernel")
    }
}
