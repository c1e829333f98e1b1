import ArgumentParser

/// `martlet-lab serve`: a backend.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer HTTP requests with a name, on all addresses of both families.",
        discussion: """
            GET /            the name, as text
            GET /healthz     200, or 503 between POST /sick and POST /well
            GET /bytes/N     N bytes
            GET /slow?ms=N   the name, N milliseconds later
            GET /count       {"name":…,"requests":…}: how many of the above but /healthz so far

            Prints `ready` once it listens.
            """)

    @Option(help: "What it answers, also in the header X-Backend.")
    var name: String

    @Option(help: "The TCP port to listen on.")
    var port: UInt16 = 80

    func run() async throws {
        let listener = try await listen(on: port)
        printLine("ready")
        try await answer(clientsOf: listener, as: Backend(name: name))
    }
}
