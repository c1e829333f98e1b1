import ArgumentParser
import Foundation
import Lab

/// `martlet-lab demo`: a client, a balancer and three servers, and what happens when one dies.
struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show Martlet at work in a network of namespaces.",
        discussion: "Everything happens in namespaces that vanish with this command, however it "
            + "ends. Exit status 0 only if all that it shows is true.")

    func run() async throws {
        guard geteuid() == 0 else {
            printLine("cannot make network namespaces: run as root")
            throw ExitCode(1)
        }
        let claims: Claims
        do {
            claims = try await withNetwork(.oneSegment()) { network in
                let stage = try await Stage(network)
                return try await perform(on: stage)
            }
        } catch {
            printLine("\(error)")
            throw ExitCode(1)
        }
        guard claims.broken.isEmpty else {
            printLine("\nNot true: \(claims.broken.joined(separator: "; "))")
            throw ExitCode(1)
        }
        printLine("\nAll of it was true. The namespaces are gone, and nothing is left behind.")
    }
}

private let backends = ["server-a", "server-b", "server-c"]

private func perform(on stage: Stage) async throws -> Claims {
    var claims = Claims()
    try await showTheNetwork(stage)
    try await balance(stage, &claims)
    try await loseServerB(stage, &claims)
    try await loseTheController(stage, &claims)
    try await settleTheAccounts(stage, &claims)
    return claims
}

private func title(_ text: String) { printLine("\n\u{25B8} \(text)") }

private func showTheNetwork(_ stage: Stage) async throws {
    printLine(
        """
        Martlet balances a virtual IP (VIP), \(Stage.vip), over three servers. Each box is a network
        namespace of its own; the balancer's XDP program sits on eth1.

            client ──▶ balancer ──▶ server-a  192.168.1.101
              ▲        eth1     ├─▶ server-b  192.168.1.102   weight 2: twice the share
              │                 └─▶ server-c  192.168.1.103
              └─────────────────────────┘  answers go to the client directly (l2-dsr)

        The whole configuration:

        \(Stage.configuration.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n"))
        """)
}

private func balance(_ stage: Stage, _ claims: inout Claims) async throws {
    title("400 requests for http://\(Stage.vip)/, each a connection of its own")
    printLine(
        """
          The VIP has a table of 65536 slots, each owned by a server. XDP hashes a packet's
          addresses and ports to a slot and sends the packet on to the MAC address of its owner.
        """)
    let tally = try await stage.request(400, of: backends)
    printLine(claims.check("every request was answered", tally.failed == 0))
    printLine(
        claims.check(
            "server-b, of twice the weight, answered about half",
            tally.isFair(to: "server-b", share: 0.5)))
}

private func loseServerB(_ stage: Stage, _ claims: inout Claims) async throws {
    let before = try await stage.status()
    title("server-b is killed. Its health check (every 200 ms, two failures) finds out")
    var down = before
    let during = try await stage.request(while: backends) {
        try await stage.killServer("server-b")
        down = try await stage.waitForStatus("server-b owns no slot") { $0.hasLeft("server-b") }
    }
    // A late answer, on a busy machine.
    stage.forgive(during.failures["timeout"] ?? 0)
    printLine(
        """
          martlet: server-b is down: \(down.reasons["server-b"] ?? "")
          Until martlet knew, \(during.failed) of \(during.answered + during.failed) requests \
        failed (\(during.reasons)).
        """)
    printLine(
        claims.check(
            "they failed as requests to a server that has ended do", during.hasFailedAsOfTheDead))
    printLine(
        claims.check(
            "its \(before.slots["server-b"] ?? 0) slots went to the others, who kept theirs",
            down.hasInherited(from: "server-b", since: before)))
    let after = try await stage.request(400, of: backends)
    printLine(claims.check("no request failed after the detection", after.failed == 0))
    printLine(
        claims.check(
            "server-a and server-c answered them",
            Set(after.answers.keys) == ["server-a", "server-c"]))
    try await getServerBBack(stage, &claims, to: before)
}

private func getServerBBack(
    _ stage: Stage, _ claims: inout Claims, to before: StatusRead
) async throws {
    title("server-b comes back, and is up after two good probes")
    var up = before
    let during = try await stage.request(while: backends) {
        try await stage.startServer("server-b")
        up = try await stage.waitForStatus("server-b owns slots") {
            $0.states["server-b"] == "up" && ($0.slots["server-b"] ?? 0) > 0
        }
    }
    // What was cut may have been answered.
    stage.forgive(during.failed)
    printLine(
        """
          martlet: server-b is \(up.states["server-b"] ?? ""): \(up.reasons["server-b"] ?? "")
          Failed meanwhile: \(during.failed). A connection under way is cut when its slot moves.
        """)
    printLine(claims.check("every server owns as many slots as before", up.slots == before.slots))
    let after = try await stage.request(400, of: backends)
    printLine(claims.check("no request failed after that", after.failed == 0))
    printLine(
        claims.check(
            "server-b has its share again", after.isFair(to: "server-b", share: 0.5)))
}

private func loseTheController(_ stage: Stage, _ claims: inout Claims) async throws {
    title("The controller is killed with SIGKILL: the kernel goes on forwarding without it")
    try await stage.killController()
    let tally = try await stage.request(200, of: backends)
    printLine(claims.check("no request failed without a controller", tally.failed == 0))
    try await stage.startController()
    printLine("  A new controller has taken over what the kernel held.")
}

private func settleTheAccounts(_ stage: Stage, _ claims: inout Claims) async throws {
    title("The accounts: what martlet says, and what others counted")
    let accounts = try await stage.accounts(of: backends)
    printLine("  martlet status:\n")
    printLine(indented(try await stage.statusText()))
    printLine("\n  martlet counters:\n")
    printLine(indented(try await stage.countersText()))
    printLine("\n" + indented(accounts.table(of: backends)) + "\n")
    for (claim, holds) in accounts.claims(of: backends) {
        printLine(claims.check(claim, holds))
    }
}

/// The text two columns to the right, without empty lines at its end.
private func indented(_ text: String) -> String {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    while lines.last?.isEmpty ?? false { lines.removeLast() }
    return lines.map { $0.isEmpty ? "" : "  \($0)" }.joined(separator: "\n")
}
