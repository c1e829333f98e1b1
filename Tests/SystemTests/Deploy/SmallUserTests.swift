import Foundation
import Lab
import OtherBuild
import Testing

/// What a user with the unit's capabilities can do, and what it says of the rest.
@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"), .serialized)
struct SmallUserTests {
    private static let user = 64321
    private static let pins = "/sys/fs/bpf/martlet"

    /// A balancer with what the unit's user needs, and a configuration with tables of all kinds.
    private func withBalancer(
        _ body: (Node, _ asUser: (_ besides: [String]) -> [String]) async throws -> Void
    ) async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            let unit = try Unit("martlet.service")
            try await node.prepare(unit, user: Self.user)
            try node.write(
                """
                interfaces: [eth1]
                nat-addresses: [192.168.1.200]
                services:
                  - name: web
                    vip: 192.168.1.100
                    port: 80
                    forwarding: l2-dsr
                    backends: [{ name: a, address: 192.168.1.101 }]
                  - name: mail
                    vip: 192.168.1.100
                    port: 25
                    forwarding: full-nat
                    backends: [{ name: b, address: 192.168.1.101 }]
                """, to: "/run/martlet.yaml")
            try await body(node) { besides in
                sandbox(unit.capabilities("AmbientCapabilities") + besides, user: Self.user)
            }
        }
    }

    /// Starts a controller, and ends it when the program runs.
    private func run(_ node: Node, as user: [String], _ end: Int32 = SIGTERM) async throws {
        let controller = try await node.start(user + (try command()))
        // Tables of another build are copied on the way.
        try await controller.errors.first(within: .seconds(60)) { $0.contains("runs on eth1") }
        controller.kill(end)
        _ = await controller.wait()
    }

    private func command() throws -> [String] {
        [try builtProduct("martlet"), "run", "--config", "/run/martlet.yaml"]
    }

    private func inner(_ node: Node) async throws -> [String] {
        try await node.run(["ls", "\(Self.pins)/inner"]).stdout
            .split(separator: "\n").map(String.init)
    }

    @Test func `it takes over from a controller that was killed, from another build, and back`()
        async throws
    {
        let object = FileManager.default.temporaryDirectory
            .appending(path: "martlet-other-\(UUID().uuidString).o")
        try Data(OtherBuild.compile()).write(to: object)
        defer { try? FileManager.default.removeItem(at: object) }
        try await withBalancer { node, asUser in
            try await run(node, as: asUser([]), SIGKILL)
            #expect(try await inner(node) == ["nat-1", "slots-1", "slots-2"])
            let other = try await node.run(
                asUser([]) + [try builtProduct("martlet-other-build"), object.path])
            #expect(other.stdout.contains("table nat_tables is replaced: "))
            #expect(other.stdout.contains("table visits is new\n"))
            try await run(node, as: asUser([]))
            #expect(try await inner(node) == ["nat-1", "slots-1", "slots-2"])
            let counters = try await node.run(
                sandbox([], user: Self.user) + [try builtProduct("martlet"), "counters"])
            #expect(counters.stdout.contains("192.168.1.100:25/tcp: arrived"))
        }
    }

    @Test(arguments: [
        ("inner/slots-1", "it has no pin in /sys/fs/bpf/martlet/inner, and only CAP_SYS_ADMIN"),
        ("flows", "the pin of a table is gone, and only CAP_SYS_ADMIN"),
        ("settings", "the pin of `settings` is gone, and only CAP_SYS_ADMIN"),
    ])
    func `a pin that was removed takes one more capability for one start`(
        pin: String, text: String
    ) async throws {
        try await withBalancer { node, asUser in
            try await run(node, as: asUser([]))
            let before = try await node.run(["find", Self.pins]).stdout
            try await node.run(["rm", "\(Self.pins)/\(pin)"])
            let refused = try await node.attempt(asUser([]) + (try command()))
            #expect(refused.status == .exited(1))
            #expect(refused.stderr.contains("(1)\n  \(text)"), "\(refused.stderr)")
            try await run(node, as: asUser(["CAP_SYS_ADMIN"]))
            try await run(node, as: asUser([]))
            let after = try await node.run(["find", Self.pins]).stdout
            #expect(Set(after.split(separator: "\n")) == Set(before.split(separator: "\n")))
        }
    }

    @Test func `without the program's pin it starts as ever`() async throws {
        try await withBalancer { node, asUser in
            try await run(node, as: asUser([]))
            try await node.run(["rm", "\(Self.pins)/program"])
            try await run(node, as: asUser([]))
            try await node.run(["test", "-e", "\(Self.pins)/program"])
        }
    }

    @Test func `what it may not see it does not say of an interface that is taken`() async throws {
        try await withBalancer { node, asUser in
            try await node.run([
                try builtProduct("martlet"), "decapsulate", "eth1", "--pins", "/sys/fs/bpf/roots",
            ])
            let output = try await node.attempt(asUser([]) + (try command()))
            #expect(output.status == .exited(1))
            #expect(
                output.stderr.contains(
                    "; end what made it. As root: `bpftool link` shows the link that holds it, "))
        }
    }
}
