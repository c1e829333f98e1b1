import ArgumentParser

/// What the nodes of a lab run: servers to balance, and a client that asks them.
@main
struct LabCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet-lab",
        abstract: "Servers and a client for networks made of namespaces.",
        subcommands: [
            Serve.self, Request.self, Echo.self, HoldServer.self, Hold.self, Demo.self,
        ])
}
