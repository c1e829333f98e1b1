import API
import ArgumentParser
import Control

/// `martlet status`
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show services and backends: health, shares, traffic.",
        discussion: "Asks the running controller. Rates are those of the last second or two.")

    @OptionGroup var show: ShowOptions
    @OptionGroup var socket: SocketOption

    func run() async throws {
        let client = Client(at: socket.path)
        do {
            try await show.show({ try await client.status() }, text: text)
        } catch {
            throw refused(error)
        }
    }
}

/// Where a controller is asked.
struct SocketOption: ParsableArguments {
    @Option(help: "The Unix socket of the controller.")
    var socket = "/run/martlet/martlet.sock"

    var path: SocketPath { SocketPath(socket) }
}
