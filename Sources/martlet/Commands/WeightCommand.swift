import API
import ArgumentParser
import Control

/// `martlet weight SERVICE/BACKEND N`
struct WeightCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weight",
        abstract: "Give a backend another weight than the file's.",
        discussion: """
            Its share of new flows is its weight's part of all weights of the service; with 0 it \
            gets none. It outlives reloads and restarts, until --reset gives it the file's again.

            Examples:
              martlet weight web/server-a 3
              martlet weight web/server-a --reset

            Exit status: 0 done, 1 refused, 64 wrong usage.
            """)

    @Argument(
        help: ArgumentHelp("The backend, as SERVICE/BACKEND.", valueName: "service/backend"),
        completion: .backends, transform: backendReference)
    var backend: BackendReference
    @Argument(help: "The weight, from 0 to 65535.", transform: weightNumber)
    var weight: UInt16?
    @Flag(help: "The file's again.")
    var reset = false
    @OptionGroup var output: OutputOptions
    @OptionGroup var controller: ControllerOptions

    func validate() throws {
        guard (weight == nil) == reset else {
            throw ValidationError(
                reset ? "give a weight, or --reset, not both" : "give a weight, or --reset")
        }
    }

    func run() async throws {
        do {
            if let weight {
                try await controller.client.setWeight(of: backend, to: weight)
                try output.write(Done(backend, "has weight \(weight)"))
            } else {
                try await controller.client.resetWeight(of: backend)
                try output.write(Done(backend, "has the weight of the file"))
            }
        } catch {
            throw refused(error)
        }
    }
}

private func weightNumber(_ text: String) throws -> UInt16 {
    guard let weight = UInt16(text) else {
        throw ValidationError("\"\(text)\" is no weight: a number from 0 to 65535")
    }
    return weight
}
