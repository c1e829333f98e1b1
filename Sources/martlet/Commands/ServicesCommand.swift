import API
import ArgumentParser
import Control

/// `martlet services`
struct ServicesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "services",
        abstract: "List the services, a line each.",
        discussion: """
            SERVING are the backends that have new flows. Remarks in capitals are for somebody to \
            look at: `martlet status` says more.

            Exit status: 0 shown, 1 no controller answers, 64 wrong usage.
            """)

    @OptionGroup var show: ShowOptions
    @OptionGroup var controller: ControllerOptions

    func run() async throws {
        let client = controller.client
        do {
            try await show.show(
                { ServicesShown(status: try await client.status()) },
                text: { servicesText($0.status, on: $1) })
        } catch {
            throw refused(error)
        }
    }
}

/// The services alone, for programs.
private struct ServicesShown: Encodable {
    let status: Status

    func encode(to encoder: any Encoder) throws { try status.services.encode(to: encoder) }
}

/// `martlet backends [SERVICE]`
struct BackendsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backends",
        abstract: "List the backends, a line each.",
        discussion: """
            Of all services, or of one. Last comes why a backend is in its state, or how far its \
            drain has come.

            Examples:
              martlet backends web --watch
              martlet backends --json | jq -r '.[] | select(.share == 0) | .name'

            Exit status: 0 shown; 1 no controller answers, or there is no such service; 64 wrong \
            usage.
            """)

    @Argument(help: "The service; none: all.", completion: .services)
    var service: String?
    @OptionGroup var show: ShowOptions
    @OptionGroup var controller: ControllerOptions

    func run() async throws {
        let client = controller.client
        do {
            try await show.show(
                { try BackendsShown(try await client.status(), of: service) },
                text: { backendsText($0.status, of: $0.services, on: $1) })
        } catch {
            throw refused(error)
        }
    }
}

/// Backends of a status, for people and for programs.
private struct BackendsShown: Encodable {
    let status: Status
    let services: [Status.Service]

    init(_ status: Status, of name: String?) throws {
        self.status = status
        services = status.services.filter { name == nil || $0.name == name }
        if let name, services.isEmpty {
            throw NoSuchService(name: name, names: status.services.map(\.name))
        }
    }

    func encode(to encoder: any Encoder) throws {
        let backends = services.flatMap { service in
            service.backends.map { BackendOfService(service: service.name, backend: $0) }
        }
        try backends.encode(to: encoder)
    }
}

private struct NoSuchService: Error, CustomStringConvertible {
    let name: String
    let names: [String]

    var description: String {
        "there is no service \(name); "
            + (names.isEmpty ? "there are none" : "services are \(names.joined(separator: ", "))")
    }
}
