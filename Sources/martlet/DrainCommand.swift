import API
import ArgumentParser
import Control
import FoundationEssentials

/// `martlet drain SERVICE/BACKEND`
struct DrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain",
        abstract: "Give a backend no new flows, and let those that it has end.",
        discussion: """
            It outlives the controller. `martlet status` shows how many flows are left.

            Examples:
              martlet drain web/server-a
              martlet drain web/server-a --deadline 10m --wait

            Exit status: 0 it drains, or has drained with --wait; 1 refused, 64 wrong usage.
            """)

    @Argument(
        help: ArgumentHelp("The backend, as SERVICE/BACKEND.", valueName: "service/backend"),
        completion: .backends, transform: backendReference)
    var backend: BackendReference
    @Option(
        help: ArgumentHelp(
            "Cut what is left after so long (30s, 10m, 2h), or at that time (RFC 3339).",
            valueName: "time"),
        transform: deadlineText)
    var deadline: Deadline?
    @Flag(help: "Wait until no flow is left, and tell meanwhile how many there are.")
    var wait = false
    @Flag(help: "Even if no other backend of the service can have new flows.")
    var force = false
    @OptionGroup var output: OutputOptions
    @OptionGroup var controller: ControllerOptions

    func run() async throws {
        let client = controller.client
        do {
            let order = DrainOrder(deadline: deadline?.moment(after: .now), isForced: force)
            try await client.drain(backend, order)
            guard wait else { return try output.write(Done(backend, "drains")) }
            try await waitForEnd(client)
        } catch {
            throw refused(error)
        }
    }

    private func waitForEnd(_ client: Client) async throws {
        var told = ""
        while true {
            let status = try await client.status()
            guard let found = find(in: status) else {
                return try tell("has no flows any more, and is removed")
            }
            guard let drain = found.drain else { return try tell("drains no more") }
            let text = drainText(drain, at: status.taken)
            if text != told { try tell(text, mark: ":") }
            told = text
            if drain.isOver { return }
            try await Task.sleep(for: .seconds(1))
        }
    }

    private func tell(_ text: String, mark: String = "") throws {
        try output.write(Done(backend, text), isLine: true) { _ in "\(backend)\(mark) \(text)" }
    }

    private func find(in status: Status) -> Status.Backend? {
        status.services.first { $0.name == backend.service }?.backends
            .first { $0.name == backend.backend }
    }
}

/// `martlet undrain SERVICE/BACKEND`
struct UndrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "undrain", abstract: "Give a drained backend new flows again.",
        discussion: """
            Also after the deadline of its drain.

            Exit status: 0 done, 1 refused, 64 wrong usage.
            """)

    @Argument(
        help: ArgumentHelp("The backend, as SERVICE/BACKEND.", valueName: "service/backend"),
        completion: .backends, transform: backendReference)
    var backend: BackendReference
    @OptionGroup var output: OutputOptions
    @OptionGroup var controller: ControllerOptions

    func run() async throws {
        do {
            try await controller.client.undrain(backend)
            try output.write(Done(backend, "drains no more"))
        } catch {
            throw refused(error)
        }
    }
}

/// When a drain is to end.
enum Deadline: Sendable {
    case after(TimeInterval)
    case at(Date)

    func moment(after start: Date) -> Date {
        switch self {
        case .after(let seconds): start.addingTimeInterval(seconds)
        case .at(let moment): moment
        }
    }
}

private func deadlineText(_ text: String) throws -> Deadline {
    let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86400]
    if let unit = text.last.flatMap({ units[$0] }), let number = UInt32(text.dropLast()) {
        guard number > 0 else {
            throw ValidationError("the deadline \(text) has passed: give one in the future")
        }
        return .after(Double(number) * unit)
    }
    if let moment = try? Date(text, strategy: .iso8601) { return .at(moment) }
    throw ValidationError(
        "\"\(text)\" is no deadline: 30s, 10m, 2h, 1d or 2030-01-31T12:00:00Z")
}
