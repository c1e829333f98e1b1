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
            health-check: { type: http, path: /healthz, interval: 200ms, timeout: 200ms, fall: 2 }
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
    /// How many answers may not have come to the client.
    private var lost = 0
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
        try await waitForStatus("every server owns slots") { status in
            status.slots.values.allSatisfy { $0 > 0 }
        }
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
                "\(Self.concurrency)", "--timeout", "1",
            ] + limit)
        let lines = client.output.follow()
        let follower = Task {
            var tally = Tally()
            for await line in lines {
                try tally.add(line: line)
                if isTerminal { show(tally, of: backends, isLast: false) }
            }
            return tally
        }
        try await body(client)
        _ = try await client.wait(within: .seconds(30))
        let tally = try await follower.value
        show(tally, of: backends, isLast: true)
        total += tally
        return tally
    }

    // MARK: What the others say

    /// Waits until `martlet status` says what is waited for; what it says then.
    @discardableResult
    func waitForStatus(
        _ what: String, _ holds: (StatusRead) -> Bool
    ) async throws -> StatusRead {
        var latest: StatusRead?
        try await eventually(what) {
            let output = try await network["balancer"].attempt([martlet, "status", "--json"])
            guard output.succeeded else { return false }
            let status = try StatusRead(json: output.stdout)
            latest = status
            return holds(status)
        }
        guard let latest else { throw Failure("read the status", because: "there is none") }
        return latest
    }

    func status() async throws -> StatusRead {
        try await waitForStatus("the controller has a status") { _ in true }
    }

    private func endCounting() async throws -> [String: Int] {
        var seen: [String: Int] = [:]
        for (name, count) in counts { seen[name] = try await count.end() }
        return seen
    }

    /// Waits until no packet for the VIP has come for half a second: a connection that was cut may
    /// leave some that are repeated.
    private func waitForSilence() async throws {
        var (arrived, since) = (Int?.none, ContinuousClock.now)
        try await eventually("packets for the VIP cease", within: .seconds(20)) {
            let now = try await counters().arrived
            if now != arrived { (arrived, since) = (now, .now) }
            return since.duration(to: .now) > .milliseconds(500)
        }
    }

    /// Takes note that so many answers may not have come to the client.
    func forgive(_ answers: Int) { lost += answers }

    /// What all sides have counted, once nothing is under way any more.
    func accounts(of backends: [String]) async throws -> Accounts {
        try await waitForSilence()
        let earlier = try await counters()
        let packets = try await endCounting()
        let later = try await counters()
        var answered: [String: Int] = [:]
        for name in backends {
            answered[name] =
                try await requestsAnsweredNow(by: name) + (answeredBefore[name] ?? 0)
        }
        // What a server answered between the question for its count and its end, it told nobody.
        let untold = answeredBefore.mapValues { _ in Self.concurrency }
        return Accounts(
            earlier: earlier, counters: later, packets: packets, answered: answered,
            received: total.answers, lost: lost, untold: untold)
    }

    private static let concurrency = 8

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

    private func counters() async throws -> CountersRead {
        let json = try await network["balancer"].run([martlet, "counters", "--json"]).stdout
        return try CountersRead(json: json)
    }
}

private let isTerminal = isatty(STDOUT_FILENO) == 1

/// Shows the tally in place of the one before, on a terminal.
private func show(_ tally: Tally, of backends: [String], isLast: Bool) {
    let width = barWidth(columns: terminalColumns() ?? 100, backends: backends.count)
    let start = isTerminal ? "\r" : ""
    let line = tally.line(of: backends, width: width)
    let text = Array("\(start)  \(line)\(isLast ? "\n" : "")".utf8)
    _ = write(STDOUT_FILENO, text, text.count)
}

/// How wide the terminal is; nil: there is none, or it does not know.
private func terminalColumns() -> Int? {
    var size = winsize()
    guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
}
