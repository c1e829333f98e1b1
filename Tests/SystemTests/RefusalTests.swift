import Foundation
import Lab
import Testing

/// What `martlet run` refuses: with one message and its cure, and without leaving anything.
@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"), .serialized)
struct RefusalTests {
    private static let configuration = """
        services:
          - name: web
            vip: 192.168.1.100
            port: 80
            forwarding: l2-dsr
            backends: [{ name: a, address: 192.168.1.101 }]

        """

    /// What a controller leaves: pins, attached programs, files.
    private func traces(_ node: Node) async throws -> String {
        try await node.run([
            "sh", "-c",
            "find /sys/fs/bpf /run -mindepth 1 | sort; bpftool net; ip -j link show eth1 type veth",
        ]).stdout
    }

    /// Runs the controller in the balancer of a small network, and expects that it is refused with
    /// `message` and leaves everything as it was.
    private func expectRefusal(
        interfaces: String = "eth1", options: [String] = [], as prefix: [String] = [],
        saying message: String, before: (Node) async throws -> Void = { _ in }
    ) async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            try write(interfaces: interfaces, to: node)
            try await before(node)
            let earlier = try await traces(node)
            let output = try await node.attempt(
                prefix + [try builtProduct("martlet"), "run", "--config", "/run/martlet.yaml"]
                    + options)
            #expect(output.status == .exited(1))
            #expect(anyProcess(in: output.stderr) == message + "\n")
            #expect(try await traces(node) == earlier)
        }
    }

    /// The text with `process N` for every `process 4711`.
    private func anyProcess(in text: String) -> String {
        text.replacing(/process \d+/, with: "process N")
    }

    private func write(interfaces: String, to node: Node) throws {
        try node.write(
            "interfaces: [\(interfaces)]\n" + Self.configuration, to: "/run/martlet.yaml")
    }

    /// Runs a controller that nothing is in the way of.
    private func begin(_ node: Node, _ options: String...) async throws -> RunningProgram {
        let controller = try await node.start(
            [try builtProduct("martlet"), "run", "--config", "/run/martlet.yaml"] + options)
        try await controller.errors.first { $0.contains("runs on eth1") }
        return controller
    }

    @Test func `a missing interface is named, and nothing is attached to the other`()
        async throws
    {
        try await expectRefusal(
            interfaces: "eth1, eth7",
            saying: """
                cannot find interface eth7: No such device (19)
                  this machine has: lo, eth1
                """)
    }

    @Test func `of several missing interfaces each is named`() async throws {
        try await expectRefusal(
            interfaces: "eth1, eth7, nosuch",
            saying: """
                cannot find interfaces eth7, nosuch: No such device (19)
                  this machine has: lo, eth1
                """)
    }

    @Test func `pins that are on no BPF file system are refused with a place that is`()
        async throws
    {
        try await expectRefusal(
            options: ["--pins", "/tmp/martlet"],
            saying: """
                cannot pin in /tmp/martlet: /tmp is not a BPF file system
                  choose a directory in /sys/fs/bpf
                """)
    }

    @Test func `a missing interface leaves what an earlier controller made as it was`()
        async throws
    {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            try write(interfaces: "eth1", to: node)
            let first = try await begin(node)
            first.kill(SIGTERM)
            _ = await first.wait()
            let earlier = try await traces(node)
            let counters = try await node.martlet("counters").stdout
            try node.write(
                "interfaces: [eth7]\n"
                    + Self.configuration
                    .replacingOccurrences(of: "port: 80", with: "port: 81"),
                to: "/run/martlet.yaml")
            let refused = try await node.martlet("run", "--config", "/run/martlet.yaml")
            #expect(refused.status == .exited(1))
            #expect(try await traces(node) == earlier)
            #expect(counters.contains("192.168.1.100:80/tcp: arrived"))
            let later = try await node.martlet("counters").stdout
            #expect(later.contains("192.168.1.100:80/tcp: arrived"))
            #expect(!later.contains("192.168.1.100:81/tcp"))
        }
    }

    @Test func `an XDP program of somebody else is left alone`() async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            try write(interfaces: "eth1", to: node)
            _ = try await begin(
                node, "--pins", "/sys/fs/bpf/other", "--socket", "/run/other/martlet.sock")
            let earlier = try await traces(node)
            let links: [LinkRead] = try await node.decode(
                ["ip", "-j", "-d", "link", "show", "eth1"])
            let program = try #require(links[0].xdp?.prog.id)
            let output = try await node.martlet("run", "--config", "/run/martlet.yaml")
            #expect(output.status == .exited(1))
            #expect(
                anyProcess(in: output.stderr) == """
                    cannot attach program martlet to eth1: Device or resource busy (16)
                      eth1 already has an XDP program (id \(program)), of a controller that runs \
                    (process N, martlet run --config /run/martlet.yaml --pins /sys/fs/bpf/other \
                    --socket /run/ot …); stop that one, and end what it leaves: `martlet detach \
                    eth1 --pins /sys/fs/bpf/other`

                    """)
            #expect(try await traces(node) == earlier)
        }
    }

    @Test(arguments: [
        ["--reuid", "65534", "--regid", "65534", "--clear-groups"],
        ["--bounding-set", "-all", "--inh-caps", "-all"],
    ])
    func `who has not the capabilities is told which, root too`(change: [String]) async throws {
        try await expectRefusal(
            as: ["setpriv"] + change,
            saying: """
                cannot load object martlet: Operation not permitted (1)
                  run as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON
                """)
    }

    @Test func `a second controller for the same tables is refused`() async throws {
        try await expectRefusal(
            saying: """
                cannot take over the tables in /sys/fs/bpf/martlet: another controller runs \
                (process N, martlet run --config /run/martlet.yaml)
                  stop it, or give this one a directory of its own with --pins
                """
        ) { node in
            _ = try await begin(node)
        }
    }

    @Test func `a second controller for the same socket is refused`() async throws {
        try await expectRefusal(
            options: ["--pins", "/sys/fs/bpf/other"],
            saying: """
                cannot serve the API at /run/martlet/martlet.sock: another process does
                  stop it, or give this one another `--socket`
                """
        ) { node in
            _ = try await begin(node)
        }
    }

    @Test func `a file that is not a socket is not taken for one`() async throws {
        try await expectRefusal(
            options: ["--socket", "/run/precious"],
            saying: """
                cannot serve the API at /run/precious: there is a file that is not a socket
                  remove it, or name another path with `--socket`
                """
        ) { node in
            try node.write("data", to: "/run/precious")
        }
    }

    @Test(arguments: [
        ("/proc/none/martlet.sock", "make directory /proc/none: No such file or directory (2)"),
        ("/run/a/b/martlet.sock", "make directory /run/a/b: No such file or directory (2)"),
        (
            "/sys/fs/bpf/martlet.sock",
            "make /sys/fs/bpf/martlet.sock.lock: Operation not permitted (1)"
        ),
    ])
    func `a socket that can't be made is refused before anything is attached`(
        socket: String, reason: String
    ) async throws {
        let cure =
            reason.contains("directory /")
            ? "name a socket in a directory that can be made with `--socket`"
            : "name a socket in a directory for such with `--socket`"
        try await expectRefusal(
            options: ["--socket", socket], saying: "cannot \(reason)\n  \(cure)")
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
