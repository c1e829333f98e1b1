import ArgumentParser
import Foundation
import Lab

/// `martlet-lab demo`: a client, a balancer and three servers, and what happens when one dies.
struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show Martlet at work in a network of namespaces.",
        discussion: "Everything happens in namespaces that vanish with this command. Exit status "
            + "0 only if all that it shows is true.")

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
    try await getServerBBack(stage, &claims)
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
    let tally = try await stage.request(400, of: backends)
    printLine(claims.check("every request was answered", tally.failed == 0))
    // Of 400 flows the shares are within 12 points of the weights in all but one of 10^5 runs.
    let fair = abs(tally.share(of: "server-b") - 0.5) < 0.12
    printLine(claims.check("server-b, of twice the weight, answered about half", fair))
}

private func loseServerB(_ stage: Stage, _ claims: inout Claims) async throws {
    title("server-b is killed. Its health check (every 200 ms, two failures) finds out")
    let during = try await stage.request(while: backends) {
        try await stage.killServer("server-b")
        try await stage.waitForLog("web/server-b is down")
    }
    printLine(
        "  martlet: \(stage.lastLog("server-b is down"))\n"
            + "  until then \(during.failed) of \(during.answered + during.failed) requests "
            + "went to the dead server and failed: nobody could know yet")
    let after = try await stage.request(400, of: backends)
    printLine(claims.check("no request failed after the detection", after.failed == 0))
    printLine(
        claims.check(
            "server-a and server-c answered them",
            Set(after.answers.keys) == ["server-a", "server-c"]))
}

private func getServerBBack(_ stage: Stage, _ claims: inout Claims) async throws {
    title("server-b comes back")
    let during = try await stage.request(while: backends) {
        try await stage.startServer("server-b")
        try await stage.waitForLog("web/server-b is up", times: 2)
    }
    printLine(
        "  martlet: \(stage.lastLog("server-b is up"))\n"
            + "  \(during.failed) requests under way were cut when their slots went back to it")
    let after = try await stage.request(400, of: backends)
    let fair = abs(after.share(of: "server-b") - 0.5) < 0.12
    printLine(claims.check("no request failed after that", after.failed == 0))
    printLine(claims.check("server-b has its share again", fair))
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
    title("The accounts, from three sides")
    try await stage.waitForSilence()
    let seen = try await stage.endCounting()
    let counters = try await stage.counters()
    printLine("  martlet status:\n")
    printLine(try await stage.statusText())
    printLine("\n  martlet counters:\n")
    printLine(try await stage.countersText())
    printLine("")
    printLine(
        claims.check(
            "the client sent \(seen["client"] ?? -1) packets to the VIP (tcpdump), and martlet "
                + "received \(counters.arrived)", seen["client"] == counters.arrived))
    for backend in backends {
        let answered = try await stage.requestsAnswered(by: backend)
        let counted = stage.answers(of: backend)
        printLine(
            claims.check(
                "\(backend) got \(seen[backend] ?? -1) packets (tcpdump), martlet sent it "
                    + "\(counters.sent[backend] ?? -1); it answered \(answered) requests, the "
                    + "client had \(counted) answers",
                seen[backend] == counters.sent[backend]
                    && stage.agree(answered: answered, counted: counted, of: backend)))
    }
    let sent = counters.sent.values.reduce(0, +)
    printLine(
        claims.check(
            "of \(counters.arrived) packets for the service \(sent) were forwarded: none is "
                + "missing", sent == counters.arrived))
}
