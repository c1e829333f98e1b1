import ArgumentParser
import NIOCore

/// `martlet-lab serve`: a backend.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer HTTP requests with a name, on all addresses of both families.",
        discussion: """
            GET /            the name, as text
            GET /healthz     200, or 503 between POST /sick and POST /well
            GET /bytes/N     N bytes, every time the same
            GET /slow?ms=N   the name, N milliseconds later
            PUT /upload      keeps the body in the file --uploads
            GET /count       {"name":…,"requests":…}: how many of the above but /healthz so far

            A datagram is answered with the name, a line feed and what it held.

            Prints `ready` once it listens.
            """)

    @Option(help: "What it answers, also in the header X-Backend.")
    var name: String

    @Option(help: "The TCP and UDP ports to listen on; may be given several times.")
    var port: [UInt16] = [80]

    @Option(help: "The file that keeps what was uploaded last; nothing is kept without it.")
    var uploads: String?

    func run() async throws {
        let backend = Backend(name: name, uploads: uploads)
        var listeners: [NIOAsyncChannel<Client, Never>] = []
        for port in port {
            listeners.append(try await listen(on: port))
            try EchoServer(name: name, port: port).start()
        }
        printLine("ready")
        try await withThrowingDiscardingTaskGroup { group in
            for listener in listeners {
                group.addTask { try await answer(clientsOf: listener, as: backend) }
            }
        }
    }
}
