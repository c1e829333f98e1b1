import BPF

let programPin = "program"
/// For as long as it takes to put it in the place of the other.
let passingProgramPin = "program-next"
// By number, because the BPF file system takes no name with a dot, and `eth1.5` has one.
let linkPrefix = "link-"

/// The entries of a directory that Martlet made, this build or another.
///
/// Those that are called as ours are and are of the right kind, and every map that our program
/// uses, whatever another build called it.
struct OurPins {
    private(set) var names: [String] = []
    /// In the directory of a migration that was cut short.
    private(set) var staged: [String] = []
    /// Of tables inside tables, here and there.
    private(set) var inner: [InnerPins.Name] = []
    private(set) var stagedInner: [InnerPins.Name] = []

    init(in pins: PinDirectory) throws(Failure) {
        names = try Self.ours(in: pins)
        let next = pins.directory(Migration.stageName)
        staged = try Self.ours(in: next)
        inner = try InnerPins(of: pins).names()
        stagedInner = try InnerPins(of: next).names()
    }

    private static func ours(in pins: PinDirectory) throws(Failure) -> [String] {
        let maps = Set(Tables.names + [Decapsulator.countersName])
        let programs: Set = [programPin, passingProgramPin]
        let used = try mapsKnownInUse(in: pins)
        var names: [String] = []
        for name in try pins.entries() {
            switch try pins.kind(of: name) {
            case .link: if name.hasPrefix(linkPrefix) { names.append(name) }
            case .program: if programs.contains(name) { names.append(name) }
            case .map:
                let id = try RawMap(pinnedAt: pins.path(of: name), name: name).id
                if maps.contains(name) || used.contains(id) { names.append(name) }
            case nil: break
            }
        }
        return names
    }
}
