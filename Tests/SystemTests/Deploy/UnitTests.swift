import Foundation
import Lab
import Testing

/// The systemd units, without systemd: what they say about users and capabilities is done to the
/// programs, and that is enough for them, and nothing of it too much.
@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"), .serialized)
struct UnitTests {
    /// A user who is nobody else on this machine.
    private static let user = 64321
    private static let unit = Result { try Unit("martlet.service") }
    private static let capabilities =
        (try? unit.get().capabilities("AmbientCapabilities")) ?? []

    private static func configuration(_ node: Node) throws -> [String] {
        let backends = zip(servers, Way.l2DSR.addresses(.v4))
            .map { "      - { name: \($0), address: \"\($1)\" }" }.joined(separator: "\n")
        try node.write(
            """
            interfaces: [eth1]
            services:
              - name: web
                vip: 192.168.1.100
                port: 80
                forwarding: l2-dsr
                health-check: { type: http, path: /healthz, interval: 100ms, rise: 2, fall: 2 }
                backends:
            \(backends)
            """, to: "/run/martlet.yaml")
        return [try builtProduct("martlet"), "run", "--config", "/run/martlet.yaml"]
    }

    @Test func `the unit gives its user just what it is bound to`() throws {
        let unit = try Self.unit.get()
        #expect(!Self.capabilities.isEmpty)
        #expect(unit.capabilities("CapabilityBoundingSet") == Self.capabilities)
        #expect(unit["User"] == "martlet")
        #expect(unit["NoNewPrivileges"] == "yes")
    }

    @Test func `with the unit's user and capabilities it forwards, stops, and takes over again`()
        async throws
    {
        let unit = try Self.unit.get()
        try await withNetwork(.oneSegment()) { network in
            let node = network["balancer"]
            _ = try await network.startServers(.l2DSR)
            try await node.prepare(unit, user: Self.user)
            let command =
                sandbox(Self.capabilities, user: Self.user)
                + (try Self.configuration(node))
            for round in 1...2 {
                let controller = try await node.start(command)
                try await controller.errors.first { $0.contains("runs on eth1") }
                try await network.waitForAllBackends(.v4)
                // As a member of the group, with no capability at all.
                let status = try await node.run(
                    sandbox([], user: Self.user) + [try builtProduct("martlet"), "status"])
                #expect(status.stdout.contains("eth1: program"), "round \(round)")
                controller.kill(SIGHUP)
                #expect(try await network.request(20, .v4).failures == [])
                controller.kill(SIGTERM)
                #expect(await controller.wait().status == .exited(0))
                #expect(try await network.request(20, .v4).failures == [])
            }
            #expect(
                try await node.run(["stat", "-c", "%u %a", "/sys/fs/bpf/martlet"]).stdout
                    == "\(Self.user) 700\n")
            #expect(try await node.martlet("detach").stdout == "detached\n")
        }
    }

    @Test(arguments: capabilities)
    func `with one capability less it is refused, and that one named`(missing: String)
        async throws
    {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            try await node.prepare(try Self.unit.get(), user: Self.user)
            let output = try await node.attempt(
                sandbox(Self.capabilities.filter { $0 != missing }, user: Self.user)
                    + (try Self.configuration(node)))
            #expect(output.status == .exited(1))
            // The verifier, which wants CAP_PERFMON, says the second.
            let texts = ["Operation not permitted (1)\n", "Permission denied (13)\n"]
            #expect(texts.contains { output.stderr.contains($0) }, "\(output.stderr)")
            #expect(output.stderr.contains(missing))
        }
    }

    @Test func `without its directory in the BPF file system it says what to make`() async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            // As systemd mounts it.
            try await node.run(["chmod", "0700", "/sys/fs/bpf"])
            let output = try await node.attempt(
                sandbox(Self.capabilities, user: Self.user) + (try Self.configuration(node)))
            #expect(output.status == .exited(1))
            #expect(output.stderr.contains("/sys/fs/bpf/martlet: Permission denied (13)\n"))
        }
    }

    @Test func `a tunnel's end takes the capabilities of its unit, and no fewer`() async throws {
        let capabilities = try Unit("martlet-decapsulate@.service")
            .capabilities("CapabilityBoundingSet")
        #expect(!capabilities.isEmpty)
        try await withNetwork(.routed(backends: 1, segments: .own)) { network in
            let node = network["server-a"]
            let command = [try builtProduct("martlet"), "decapsulate", "eth0"]
            for missing in capabilities {
                let output = try await node.attempt(
                    sandbox(capabilities.filter { $0 != missing }, user: nil) + command)
                #expect(output.status == .exited(1), "without \(missing)")
                #expect(output.stderr.contains(missing))
            }
            for end in [[], ["--stop"]] {
                try await node.run(sandbox(capabilities, user: nil) + command + end)
            }
            #expect(try await node.run(["ls", "/sys/fs/bpf"]).stdout.contains("martlet") == false)
        }
    }

    @Test(
        .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/systemd-analyze")),
        arguments: [("martlet.service", 2.0), ("martlet-decapsulate@.service", 2.5)])
    func `systemd knows every line, and finds little that is exposed`(
        name: String, most: Double
    ) async throws {
        let file = deploy.appending(path: "systemd/\(name)").path
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            let verified = try await node.attempt(["systemd-analyze", "verify", file])
            #expect(!verified.stderr.contains("Unknown"), "\(verified.stderr)")
            #expect(!verified.stderr.contains("Failed to parse"), "\(verified.stderr)")
            let threshold = ["--offline=true", "--threshold=\(Int(most * 10))"]
            let security = try await node.attempt(
                ["systemd-analyze", "security"] + threshold + [file])
            #expect(security.status == .exited(0), "\(security.stdout.suffix(300))")
        }
    }
}
