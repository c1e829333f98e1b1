import ArgumentParser
import BPF
import Foundation
import XDPPlane

/// `martlet-other-build OBJECT`: plays a controller of another build that takes over and stops.
@main
struct OtherBuildCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet-other-build",
        abstract: "Put another build of the data path in the place of the one that runs.",
        discussion: "For tests of upgrades: as `martlet run` of that build would, and then stop. "
            + "Prints a line for each table that it replaces.")

    @Argument(help: "The object file of the other build.")
    var object: String
    @Option(help: "Where program and tables are pinned.")
    var pins = "/sys/fs/bpf/martlet"

    func run() throws {
        let image = Array(try Data(contentsOf: URL(filePath: object)))
        let directory = PinDirectory(pins)
        let lock = try directory.lock()
        let takeover = try Takeover(image: image.span, in: directory)
        guard let migration = takeover.migration else {
            throw ValidationError("there is nothing in \(pins) that differs from \(object)")
        }
        for note in takeover.notes { print(note) }
        for note in try migration.run(migration.steps) { print(note) }
        _ = consume lock
    }
}
