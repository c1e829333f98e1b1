import ArgumentParser
import Balancing
import ConfigurationFile
import Control

/// `martlet check FILE`
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Validate a configuration without touching the system.",
        discussion: "All errors of the file are told at once. Exit status 2 if there are any.")

    @Argument(help: "The configuration file; -: standard input.")
    var file: String

    func run() throws {
        do throws(ConfigurationErrors) {
            let state = try ConfigurationFile.read(file)
            let backends = state.services.reduce(0) { $0 + $1.backends.count }
            print(
                "\(file): right: \(count(state.services.count, "service")), "
                    + "\(count(backends, "backend")), on "
                    + state.interfaces.joined(separator: ", "))
            for warning in uselessSettings(of: state) { printError(warning) }
        } catch {
            throw refused(error, status: 2)
        }
    }
}
