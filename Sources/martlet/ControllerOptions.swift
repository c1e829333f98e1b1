import API
import ArgumentParser

/// Which controller is asked.
struct ControllerOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The Unix socket of the controller.", valueName: "path"),
        completion: .file())
    var socket = SocketOption.standard

    var client: Client { Client(at: SocketPath(socket)) }
}

/// Where a controller serves.
struct SocketOption: ParsableArguments {
    @Option(help: "The Unix socket of the controller.", completion: .file())
    var socket = Self.standard

    static let standard = "/run/martlet/martlet.sock"

    var path: SocketPath { SocketPath(socket) }
}
