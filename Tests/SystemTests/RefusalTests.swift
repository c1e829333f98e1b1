import Foundation
import Lab
import Testing

/// What `martlet run` refuses: with one message and its cure, and without leaving anything.
@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"))
struct RefusalTests {
    private static let configuration = """
        services:
          - name: web
            vip: 192.168.1.100
            port: 80
            forwarding: l2-dsr
            backends: [{ name: a, address: 192.168.1.101 }]

        """

    /// Runs the controller in the balancer of a small network; what it said and left.
    private func run(
        interfaces: String, before: (Node) async throws -> Void = { _ in },
        as prefix: [String] = []
    ) async throws -> (output: Output, left: String) {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            try ("interfaces: [\(interfaces)]\n" + Self.configuration).write(
                toFile: node.path("/run/martlet.yaml"), atomically: false, encoding: .utf8)
            try await before(node)
            let look = ["sh", "-c", "ls -A /sys/fs/bpf/martlet /run/martlet 2>&1; bpftool net"]
            let earlier = try await node.attempt(look).stdout
            let output = try await node.attempt(
                prefix + [
                    try builtProduct("martlet"), "run", "--config", "/run/martlet.yaml",
                ])
            let later = try await node.attempt(look).stdout
            // An empty directory is no trace that does anything.
            return (output, later == earlier ? "" : later)
        }
    }

    @Test func `a missing interface is named, and nothing is attached to the other`()
        async throws
    {
        let (output, left) = try await run(interfaces: "eth1, eth7")
        #expect(output.status == .exited(1))
        #expect(output.stderr.contains("cannot find interface eth7: No such device (19)"))
        #expect(output.stderr.contains("this machine has: lo, eth1"))
        #expect(!left.contains("eth1") && !left.contains("link-") && !left.contains(".sock"))
    }

    @Test func `an XDP program of somebody else is left alone`() async throws {
        let (output, left) = try await run(interfaces: "eth1") { node in
            let other = try await node.start([
                try builtProduct("martlet"), "run", "--config", "/run/martlet.yaml", "--pins",
                "/sys/fs/bpf/other", "--socket", "/run/other/martlet.sock",
            ])
            try await other.errors.first { $0.contains("runs on eth1") }
        }
        #expect(output.status == .exited(1))
        #expect(output.stderr.contains("eth1 already has an XDP program"))
        #expect(!left.contains("link-") && !left.contains("martlet.sock"))
    }

    @Test func `without the capabilities the one that is missing is said`() async throws {
        let (output, left) = try await run(
            interfaces: "eth1",
            as: ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"])
        #expect(output.status == .exited(1))
        #expect(output.stderr.contains("run as root"))
        #expect(left == "")
    }

    @Test func `a second controller for the same tables is refused`() async throws {
        let (output, _) = try await run(interfaces: "eth1") { node in
            let first = try await node.start([
                try builtProduct("martlet"), "run", "--config", "/run/martlet.yaml",
            ])
            try await first.errors.first { $0.contains("runs on eth1") }
        }
        #expect(output.status == .exited(1))
        #expect(output.stderr.contains("another"))
    }

    @Test func `a file that can't be read, or is wrong, is status 2`() async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let martlet = try builtProduct("martlet")
            let node = network["balancer"]
            let missing = try await node.attempt([martlet, "run", "--config", "/run/none.yaml"])
            #expect(missing.status == .exited(2))
            #expect(missing.stderr.contains("No such file or directory"))
            try "interfaces: eth1\n".write(
                toFile: node.path("/run/wrong.yaml"), atomically: false, encoding: .utf8)
            for command in [["run", "--config"], ["check"]] {
                let wrong = try await node.attempt([martlet] + command + ["/run/wrong.yaml"])
                #expect(wrong.status == .exited(2))
                #expect(wrong.stderr.contains("/run/wrong.yaml:1:13: interfaces:"))
            }
        }
    }

    @Test func `status without a controller says how to get one`() async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let output = try await network["balancer"].attempt(
                [try builtProduct("martlet"), "status"])
            #expect(output.status == .exited(1))
            #expect(output.stderr.contains("start `martlet run`"))
        }
    }
}
