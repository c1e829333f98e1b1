import Foundation
import Lab
import Testing

/// A network in which backends change while flows are held open.
final class ChaosStage {
    let network: Network
    let way: Way
    let family: Family
    let times: [String]
    /// Connections, and flows of datagrams.
    let connections: HoldClient
    let datagrams: HoldClient
    private(set) var servers: [String: RunningProgram]
    private(set) var backends: Backends
    private var controller: RunningProgram?

    /// Starts everything, without any flow.
    init(_ network: Network, _ way: Way, _ plan: ChaosPlan, names: [String]) async throws {
        self.network = network
        self.way = way
        family = plan.family
        times = canHold ? plan.times : []
        backends = Backends(names)
        servers = try await network.startHoldServers(names, way)
        // Some flows are idle while things change, and some are busy.
        connections = try await HoldClient(
            in: network["client"], to: family.target, options: ["--interval", "1000"])
        datagrams = try await HoldClient(
            in: network["client"], to: family.target,
            options: ["--udp", "--interval", "500"])
        try await startController()
        try await settle()
    }

    // MARK: The controller

    private var configuration: String {
        let text = way.addresses(family)
        let lines = backends.members.map { member in
            let address = text[backends.names.firstIndex(of: member.name)!]
            return "      - { name: \(member.name), address: \"\(address)\", "
                + "weight: \(member.weight) }"
        }
        // A server that is late twice for half a second is taken for dead, and loses its flows.
        let check = "{ type: http, path: /healthz, port: 8080, interval: 500ms, rise: 1, fall: 2 }"
        let services = [("web", "tcp"), ("echo", "udp")].map { name, transport in
            (["- name: \(name)", "  vip: \"\(family.rawValue)\"", "  port: 80"]
                + ["  protocol: \(transport)", "  forwarding: \(way.rawValue)"]
                + ["  health-check: \(check)"] + times.map { "  \($0)" } + ["  backends:"])
                .map { "  \($0)\n" }.joined() + lines.joined(separator: "\n")
        }
        return ([way.nodeSettings, "services:"] + services).joined(separator: "\n")
    }

    private func startController() async throws {
        controller = try await network.runController(configuration: configuration)
    }

    /// Starts a controller that may be killed at any moment.
    private func startControllerSoon() async throws {
        try network["balancer"].write(configuration, to: "/run/martlet.yaml")
        controller = try await network["balancer"].start(
            [try builtProduct("martlet"), "run", "--config", "/run/martlet.yaml"])
    }

    private func reload() throws {
        try network["balancer"].write(configuration, to: "/run/martlet.yaml")
        controller?.kill(SIGHUP)
    }

    private var appliedConfigurations: Int {
        controller?.errors.all.count { $0.contains("read from /run/martlet.yaml, by SIGHUP") } ?? 0
    }

    private func endController(_ signal: Int32) async throws {
        controller?.kill(signal)
        _ = await controller?.wait()
    }

    // MARK: Changes

    /// Carries out a step, and waits until it has come into effect.
    func carryOut(_ step: ChaosPlan.Step) async throws {
        for case .remove(let name) in step.changes {
            try await connections.order("close all \(name)")
            try await datagrams.order("close all \(name)")
        }
        let before = backends
        for change in step.changes { backends.apply(change) }
        for change in step.changes {
            switch change {
            case .sicken(let name, let isClosed):
                try servers[name]?.write(line: isClosed ? "closed" : "sick")
            case .heal(let name): try servers[name]?.write(line: "well")
            default: break
            }
        }
        let isWritten =
            step.changes.contains(.restart)
            || configured(before) != configured(backends)
        if let kill = step.kill {
            if isWritten {
                if step.isReload {
                    try reload()
                } else {
                    try await endController(SIGTERM)
                    try await startControllerSoon()
                }
            }
            // What a command that is under way says when the controller dies is nobody's concern.
            let commands = try await drainCommands(of: step).asyncMap { command in
                try await network["balancer"].start(command)
            }
            try await Task.sleep(for: .milliseconds(kill))
            try await endController(SIGKILL)
            for command in commands { _ = try await command.wait(within: .seconds(30)) }
            try await startController()
        } else if isWritten, step.isReload {
            let before = appliedConfigurations
            try reload()
            try await eventually("the file is read anew", within: .seconds(20)) {
                appliedConfigurations > before
            }
        } else if isWritten {
            try await endController(step.changes.contains(.restart) ? SIGKILL : SIGTERM)
            try await startController()
        }
        for command in try drainCommands(of: step) {
            let output = try await network["balancer"].start(command).wait(within: .seconds(30))
            // The one before the kill may have been carried out.
            let isDone = step.kill != nil && output.stderr.contains("it is not drained")
            #expect(output.succeeded || isDone, "\(command): \(output.stderr)")
        }
        try await settle()
    }

    private func configured(_ backends: Backends) -> [String] {
        backends.members.map { "\($0.name) \($0.weight)" }
    }

    private func drainCommands(of step: ChaosPlan.Step) throws -> [[String]] {
        let martlet = try builtProduct("martlet")
        return step.changes.flatMap { change -> [[String]] in
            switch change {
            case .drain(let name):
                ["web", "echo"].map { [martlet, "drain", "\($0)/\(name)"] }
            case .undrain(let name):
                ["web", "echo"].map { [martlet, "undrain", "\($0)/\(name)"] }
            default: []
            }
        }
    }

    /// Waits until those that serve own slots and nobody else does.
    private func settle() async throws {
        let serving = backends.serving
        do {
            try await eventually("only \(serving.sorted()) own slots", within: .seconds(20)) {
                let output = try await network["balancer"].martlet("status", "--json")
                guard output.succeeded else { return false }
                let status = try JSONDecoder().decode(
                    StatusRead.self, from: Data(output.stdout.utf8))
                return status.services.count == 2
                    && status.services.allSatisfy { service in
                        Set(service.backends.filter { $0.slots > 0 }.map(\.name)) == serving
                    }
            }
        } catch {
            let status = try await network["balancer"].martlet("status")
            let log = controller?.errors.all.suffix(20).joined(separator: "\n") ?? ""
            throw Failure(
                "go on", because: "\(error)",
                details: status.stdout + status.stderr + log)
        }
    }

    // MARK: The end

    /// Detaches the balancer with all that it knows, also with the secret of its hash, and starts
    /// it anew.
    func forgetEverything() async throws {
        // Without a program the balancer's kernel would reset what the clients send. Who is
        // stopped can't be buried: it goes on in any case.
        for client in [connections, datagrams] { client.signal(SIGSTOP) }
        defer { for client in [connections, datagrams] { client.signal(SIGCONT) } }
        try await endController(SIGTERM)
        try await network["balancer"].run([try builtProduct("martlet"), "detach"])
        try await startController()
        try await settle()
    }

    /// Ends the process of a backend with all its connections, or stops it.
    func kill(_ name: String, _ ending: ChaosPlan.Ending) {
        servers[name]?.kill(ending == .killed ? SIGKILL : SIGSTOP)
    }
}

extension Array {
    fileprivate func asyncMap<Result>(
        _ body: (Element) async throws -> Result
    ) async rethrows -> [Result] {
        var results: [Result] = []
        for element in self { results.append(try await body(element)) }
        return results
    }
}
