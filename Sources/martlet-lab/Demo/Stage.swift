import Foundation
import Lab

/// The network of the demonstration with everything that runs in it.
final class Stage {
    static let vip = "192.168.1.100"
    static let configuration = """
        interfaces: [eth1]
        services:
          - name: web
            vip: 192.168.1.100
            port: 80
            protocol: tcp
            scheduler: maglev
            forwarding: l2-dsr
            health-check: { type: http, path: /healthz, interval: 200ms, timeout: 150ms, fall: 2 }
            backends:
              - { name: server-a, address: 192.168.1.101 }
              - { name: server-b, address: 192.168.1.102, weight: 2 }
              - { name: server-c, address: 192.168.1.103 }
        """

    private let network: Network
    private let martlet: String
    private let lab: String
    private var controller: RunningProgram?
    private var servers: [String: RunningProgram] = [:]
    private var counts: [String: PacketCount] = [:]
    private var total = Tally()
    /// Requests that servers answered before they were killed, which their successors don't know.
    private var answeredBefore: [String: Int] = [:]

    /// Starts the servers, the counting and the controller.
    init(_ network: Network) async throws {
        self.network = network
        martlet = try builtProduct("martlet")
        lab = try builtProduct("martlet-lab")
        for name in ["server-a", "server-b", "server-c"] {
            try await startServer(name)
            counts[name] = try await .begin(Self.vip, on: "eth0", of: network[name])
        }
        counts["client"] = try await .begin(Self.vip, on: "eth0", of: network["client"])
        try Self.configuration.write(
            toFile: network["balancer"].path("/run/martlet.yaml"), atomically: false,
            encoding: .utf8)
        try await startController()
        for name in ["server-a", "server-b", "server-c"] {
            try await waitForLog("web/\(name) is up")
        }
        // The ways may be known after that.
        try await eventually("every server owns slots") {
            let status = try await network["balancer"].attempt([martlet, "status", "--json"])
            return try status.succeeded && haveAllSlots(json: status.stdout)
        }
    }

    private func haveAllSlots(json: String) throws -> Bool {
        struct Status: Decodable { let services: [Service] }
        struct Service: Decodable { let backends: [Backend] }
        struct Backend: Decodable { let slots: Int }
        let status = try JSONDecoder().decode(Status.self, from: Data(json.utf8))
        return status.services.flatMap(\.backends).allSatisfy { $0.slots > 0 }
    }

    func startServer(_ name: String) async throws {
        let server = try await network[name].start([lab, "serve", "--name", name])
        try await server.output.first { $0 == "ready" }
        servers[name] = server
    }

    func killServer(_ name: String) async throws {
        answeredBefore[name, default: 0] += try await requestsAnsweredNow(by: name)
        servers[name]?.kill(SIGKILL)
    }

    func startController() async throws {
        let started = try await network["balancer"].start(
            [martlet, "run", "--config", "/run/martlet.yaml"])
        try await started.errors.first { $0.contains("runs on eth1") }
        // Its socket comes a moment later; until then `counters` would read the tables, nameless.
        try await eventually("the controller answers") {
            try await network["balancer"].attempt([martlet, "status"]).succeeded
        }
        controller = started
    }

    func killController() async throws {
        controller?.kill(SIGKILL)
        _ = await controller?.wait()
    }

    // MARK: Requests

    /// Has the client make so many requests, and shows how they go.
    func request(_ count: Int, of backends: [String]) async throws -> Tally {
        try await requests(["--count", "\(count)"], backends) { $0.closeInput() }
    }

    /// Has the client make requests until `body` is done.
    func request(
        while backends: [String], _ body: () async throws -> Void
    ) async throws -> Tally {
        try await requests(["--until-input-ends"], backends) { client in
            try await client.output.first { !$0.isEmpty }
            try await body()
            client.closeInput()
        }
    }

    private func requests(
        _ limit: [String], _ backends: [String], _ body: (RunningProgram) async throws -> Void
    ) async throws -> Tally {
        let client = try await network["client"].start(
            [
                lab, "request", "--to", "\(Self.vip):80", "--rate", "200", "--concurrency",
                "\(Self.concurrency)",
                "--timeout", "1",
            ] + limit)
        let lines = client.output.follow()
        let follower = Task {
            var tally = Tally()
            for await line in lines {
                try tally.add(line: line)
                if isTerminal { show(tally.line(of: backends), isLast: false) }
            }
            return tally
        }
        try await body(client)
        _ = try await client.wait(within: .seconds(30))
        let tally = try await follower.value
        show(tally.line(of: backends), isLast: true)
        total += tally
        return tally
    }

    // MARK: What the others say

    /// Waits until the controllers together have logged `text` so many times.
    func waitForLog(_ text: String, times: Int = 1) async throws {
        guard let controller else { return }
        try await eventually("the controller says '\(text)'") {
            controller.errors.all.count { $0.contains(text) } >= times
        }
    }

    /// The newest line of the log with `text`, from the words of people on.
    func lastLog(_ text: String) -> String {
        let line = controller?.errors.all.last { $0.contains(text) } ?? ""
        return line.range(of: "] ").map { String(line[$0.upperBound...]) } ?? line
    }

    func endCounting() async throws -> [String: Int] {
        var seen: [String: Int] = [:]
        for (name, count) in counts { seen[name] = try await count.end() }
        return seen
    }

    /// Waits until no packet for the VIP has come for half a second: a connection that was cut may
    /// leave some that are repeated.
    func waitForSilence() async throws {
        var (arrived, since) = (-1, ContinuousClock.now)
        try await eventually("packets for the VIP cease", within: .seconds(20)) {
            let now = try await counters().arrived
            if now != arrived { (arrived, since) = (now, .now) }
            return since.duration(to: .now) > .milliseconds(500)
        }
    }

    /// Whether a server's count of its answers fits the client's: an answer to a request that was
    /// cut did not arrive, and what a server answered between the question for its count and its
    /// end it told nobody; so many requests may be under way at once.
    func agree(answered: Int, counted: Int, of backend: String) -> Bool {
        let untold = answeredBefore[backend] == nil ? 0 : Self.concurrency
        return (counted - untold...counted + total.failed).contains(answered)
    }

    private static let concurrency = 8

    func answers(of backend: String) -> Int { total.answers[backend] ?? 0 }

    func requestsAnswered(by backend: String) async throws -> Int {
        try await requestsAnsweredNow(by: backend) + (answeredBefore[backend] ?? 0)
    }

    private func requestsAnsweredNow(by backend: String) async throws -> Int {
        struct Count: Decodable { let requests: Int }
        let output = try await network[backend].run(["curl", "-sf", "http://127.0.0.1/count"])
        return try JSONDecoder().decode(Count.self, from: Data(output.stdout.utf8)).requests
    }

    func statusText() async throws -> String {
        try await network["balancer"].run([martlet, "status"]).stdout
    }

    func countersText() async throws -> String {
        try await network["balancer"].run([martlet, "counters"]).stdout
    }

    func counters() async throws -> CountersRead {
        let json = try await network["balancer"].run([martlet, "counters", "--json"]).stdout
        return try CountersRead(json: json)
    }
}

private let isTerminal = isatty(STDOUT_FILENO) == 1

/// Shows the line in place of the one before, on a terminal.
private func show(_ line: String, isLast: Bool) {
    let start = isTerminal ? "\r" : ""
    let text = Array("\(start)  \(line)\(isLast ? "\n" : "")".utf8)
    _ = write(STDOUT_FILENO, text, text.count)
}
