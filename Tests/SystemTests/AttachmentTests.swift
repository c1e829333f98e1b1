import Foundation
import Lab
import Testing

/// Where the program runs: what puts it there, what ends it, and what is said of that.
@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"), .serialized)
struct AttachmentTests {
    /// Two interfaces, of which the second leads nowhere.
    private func withController(
        _ body: (Network, Node, RunningProgram) async throws -> Void
    ) async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            try await addPair(node)
            let controller = try await network.runController(
                configuration: """
                    interfaces: [eth1, eth2]
                    services:
                      - name: web
                        vip: 192.168.1.100
                        port: 80
                        forwarding: l2-dsr
                        backends: [{ name: a, address: 192.168.1.101 }]
                    """)
            try await body(network, node, controller)
        }
    }

    /// `eth2`, in a network that is connected to nothing.
    private func addPair(_ node: Node) async throws {
        try await node.run([
            "sh", "-ec", "ip link add eth2 type veth peer name far2; ip link set eth2 up",
        ])
    }

    private func status(_ node: Node) async throws -> StatusRead {
        try await node.decode([try builtProduct("martlet"), "status", "--json"])
    }

    private func pinDirectories(_ node: Node) async throws -> String {
        try await node.run([
            "find", "/sys/fs/bpf", "-mindepth", "1", "-type", "d", "!", "-name", "inner",
        ]).stdout
    }

    private func attached(_ node: Node) async throws -> [String] {
        try await status(node).interfaces.filter { $0.program != nil }.map(\.name)
    }

    @Test func `an interface that is removed is told of, and one made anew is taken`()
        async throws
    {
        try await withController { _, node, controller in
            #expect(try await attached(node) == ["eth1", "eth2"])
            try await node.run(["ip", "link", "delete", "eth2"])
            try await controller.errors.first {
                $0.contains("eth2 is without the program: interface does not exist")
            }
            let text = try await node.martlet("status").stdout
            #expect(text.contains("\neth2: NOT ATTACHED: interface does not exist\n"))
            #expect(try await attached(node) == ["eth1"])
            try await addPair(node)
            try await controller.errors.first { $0.contains("runs on eth2 again") }
            #expect(try await attached(node) == ["eth1", "eth2"])
            // A pin for each, and none is left of the interface that has gone.
            let pins = try await node.run(["sh", "-c", "ls -d /sys/fs/bpf/martlet/link-*"])
            #expect(pins.stdout.split(separator: "\n").count == 2)
            #expect(
                controller.errors.all.count { $0.contains("eth2 is without the program") } == 1)
        }
    }

    @Test func `requests are forwarded again when the interface was made anew`() async throws {
        try await withNetwork(.oneSegment()) { network in
            _ = try await network.startServers(.l2DSR)
            let controller = try await network.runController(.l2DSR, .v4)
            try await network.waitForAllBackends(.v4)
            let (node, hub) = (network["balancer"], network["switch"])
            try await node.run(["ip", "link", "delete", "eth1"])
            try await controller.errors.first { $0.contains("eth1 is without the program") }
            // Both nodes' files are found among the machine's.
            let cable = try Process.run(
                URL(filePath: "/usr/bin/env"),
                arguments: [
                    "nsenter", "--target", "\(node.identifier)", "--net", "--", "ip", "link",
                    "add", "eth1", "type", "veth", "peer", "name", "balancer", "netns",
                    "/proc/\(hub.identifier)/ns/net",
                ])
            cable.waitUntilExit()
            try #require(cable.terminationStatus == 0)
            try await hub.run([
                "sh", "-ec",
                """
                ethtool -K balancer tx off rx off gro on
                ip link set balancer master br0
                ip link set balancer up
                """,
            ])
            try await node.run([
                "sh", "-ec",
                """
                ethtool -K eth1 tx off rx off gro on
                ip link set eth1 up
                ip address add 192.168.1.1/24 dev eth1
                ip address add 192.168.1.100/32 dev eth1
                """,
            ])
            try await controller.errors.first { $0.contains("runs on eth1 again") }
            try await network.waitForAllBackends(.v4)
        }
    }

    @Test func `detach is refused under a controller, and done by force it stays done`()
        async throws
    {
        try await withController { _, node, controller in
            for arguments in [["detach"], ["detach", "eth2"]] {
                let refused = try await node.attempt([try builtProduct("martlet")] + arguments)
                #expect(refused.status == .exited(1))
                let place = arguments.count == 1 ? "the interfaces" : "eth2"
                #expect(
                    refused.stderr.hasPrefix(
                        "cannot detach from \(place): a controller runs (process "))
                #expect(refused.stderr.contains("\n  stop it first, or"))
            }
            #expect(try await attached(node) == ["eth1", "eth2"])
            let forced = try await node.martlet("detach", "eth2", "--force").stdout
            #expect(forced.hasPrefix("detached from eth2\nthe controller (process "))
            try await controller.errors.first { $0.contains("eth2 is without the program: it was") }
            #expect(try await attached(node) == ["eth1"])
            let again = try await node.martlet("attach", "eth2").stdout
            #expect(again.hasPrefix("eth2: program ") && again.hasSuffix(", native\n"))
            #expect(try await attached(node) == ["eth1", "eth2"])
            controller.kill(SIGTERM)
            _ = await controller.wait()
            #expect(controller.errors.text.contains("stopped; what was forwarded still is"))
            #expect(try await node.martlet("detach").stdout == "detached\n")
            #expect(try await node.martlet("detach").stdout == "nothing was attached\n")
        }
    }

    @Test func `when all is detached by force, each command says the same of what is to be done`()
        async throws
    {
        try await withController { _, node, controller in
            try await node.run([try builtProduct("martlet"), "detach", "--force"])
            try await controller.errors.first {
                $0.contains("eth1 is without the program: `martlet detach` removed it; stop this")
            }
            let attach = try await node.martlet("attach", "eth1")
            #expect(attach.status == .exited(1))
            #expect(attach.stderr.contains("\n  stop the controller that runs (process "))
            let run = try await node.martlet("run", "--config", "/run/martlet.yaml")
            #expect(run.status == .exited(1))
            #expect(run.stderr.contains(": another controller runs (process "))
            #expect(run.stderr.contains(", martlet run --config /run/martlet.yaml)\n  stop it, or"))
            controller.kill(SIGTERM)
            _ = await controller.wait()
            #expect(controller.errors.text.contains("stopped; nothing is forwarded"))
            #expect(try await pinDirectories(node) == "")
        }
    }

    @Test func `SIGHUP reads the file anew, and one that is wrong changes nothing`() async throws {
        try await withController { _, node, controller in
            try node.write("interfaces: [eth1]\nservices: []\n", to: "/run/martlet.yaml")
            controller.kill(SIGHUP)
            try await controller.errors.first { $0.contains("generation 2: ") }
            #expect(try await attached(node) == ["eth1"])
            try node.write("interfaces: []\n", to: "/run/martlet.yaml")
            controller.kill(SIGHUP)
            try await controller.errors.first { $0.contains("is not applied") }
            #expect(controller.errors.text.contains("/run/martlet.yaml:1:13: interfaces: "))
            #expect(try await attached(node) == ["eth1"])
            try node.write("interfaces: [eth2, eth9]\nservices: []\n", to: "/run/martlet.yaml")
            controller.kill(SIGHUP)
            try await controller.errors.first { $0.contains("cannot find interface eth9") }
            #expect(try await attached(node) == ["eth1"])
        }
    }

    @Test(arguments: [["attach", "eth1"], ["detach", "eth1"], ["counters", "--pins"]])
    func `who may not see the pins is told so, and not that there are none`(
        command: [String]
    ) async throws {
        try await withController { _, node, controller in
            controller.kill(SIGTERM)
            _ = await controller.wait()
            let pins = "/sys/fs/bpf/martlet"
            let asNobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
            let output = try await node.attempt(
                asNobody + [try builtProduct("martlet")]
                    + (command.last == "--pins" ? command + [pins] : command))
            #expect(output.status == .exited(1))
            #expect(
                output.stderr
                    == "cannot look into \(pins): Permission denied (13)\n  run as root\n")
        }
    }

    @Test(arguments: [
        (["run", "--config", "/run/martlet.yaml"], "bpf,+net_admin,+perfmon"),
        (["attach", "eth2"], "bpf"),
        (["decapsulate", "eth1"], "bpf,+net_admin,+perfmon"),
    ])
    func `the capabilities that a command asks for are those that it needs`(
        command: [String], capabilities: String
    ) async throws {
        try await withController { _, node, controller in
            controller.kill(SIGTERM)
            _ = await controller.wait()
            if command[0] == "attach" { try await node.run(["ip", "link", "delete", "eth2"]) }
            if command[0] == "attach" { try await addPair(node) }
            if command[0] == "decapsulate" { _ = try await node.martlet("detach") }
            let martlet = try builtProduct("martlet")
            let limit = { ["setpriv", "--bounding-set", $0, "--inh-caps", "-all", martlet] }
            let words = capabilities.split(separator: ",").map { name in
                "CAP_" + name.drop { $0 == "+" }.uppercased()
            }
            let refused = try await node.attempt(limit("-all") + command)
            // Where the kernel lets everybody use BPF, whoever may open the pins may attach.
            if command[0] != "attach" || refused.status != .exited(0) {
                #expect(refused.status == .exited(1))
                for word in words { #expect(refused.stderr.contains(word), "\(refused.stderr)") }
            }
            let running = try await node.start(limit("-all,+\(capabilities)") + command)
            if command[0] == "run" {
                try await running.errors.first { $0.contains("runs on eth2") }
                running.kill(SIGTERM)
            }
            let output = await running.wait()
            #expect(output.status == .exited(0), "\(output.stderr)")
        }
    }

    @Test func `reading the counters takes no capability, but the owner of the pins`()
        async throws
    {
        try await withController { _, node, controller in
            controller.kill(SIGTERM)
            _ = await controller.wait()
            let bare = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
            let output = try await node.run(bare + [try builtProduct("martlet"), "counters"])
            #expect(output.stdout.contains("received in all"))
        }
    }

    @Test func `what takes an interface is named with what ends it`() async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            try await addPair(node)
            try await node.run(["ip", "address", "add", "192.168.2.1/24", "dev", "eth2"])
            let martlet = try builtProduct("martlet")
            try await node.run([martlet, "decapsulate", "eth2"])
            let elsewhere = ["--pins", "/sys/fs/bpf/other"]
            let taken = try await node.attempt([martlet, "decapsulate", "eth2"] + elsewhere)
            let cure = "martlet decapsulate eth2 --stop --pins /sys/fs/bpf/martlet-decapsulate"
            #expect(taken.status == .exited(1))
            #expect(taken.stderr.contains("which is Martlet's own; end it: `\(cure)`\n"))
            // What it says does it.
            try await node.run([martlet] + cure.split(separator: " ").dropFirst().map(String.init))
            #expect(
                try await node.run([martlet, "decapsulate", "eth2"] + elsewhere).stdout
                    .hasPrefix("eth2: program "))
            // Without its pin in sight it is a link like any other.
            try await node.run([
                "sh", "-ec",
                "mkdir /sys/fs/bpf/a /sys/fs/bpf/a/b; mv /sys/fs/bpf/other/* /sys/fs/bpf/a/b",
            ])
            let moved = try await node.attempt([martlet, "decapsulate", "eth2"])
            #expect(moved.stderr.contains("--stop --pins /sys/fs/bpf/a/b`\n"))
            try await node.run(["mount", "-t", "bpf", "other", "/sys/fs/bpf"])
            let foreign = try await node.attempt([martlet, "decapsulate", "eth2"])
            #expect(foreign.status == .exited(1))
            let words = foreign.stderr.split(separator: "`").map(String.init)
            let command = try #require(words.first { $0.hasPrefix("bpftool link detach id ") })
            try await node.run(command.split(separator: " ").map(String.init))
            #expect(
                try await node.run([martlet, "decapsulate", "eth2"]).stdout
                    .hasPrefix("eth2: program "))
        }
    }

    @Test func `a second controller for an interface is refused, and told which process has it`()
        async throws
    {
        try await withController { _, node, controller in
            let run = ["run", "--config", "/run/martlet.yaml", "--socket", "/run/second.sock"]
            for pins in ["/sys/fs/bpf/martlet", "/sys/fs/bpf/second"] {
                let second = try await node.attempt(
                    [try builtProduct("martlet")] + run + ["--pins", pins])
                #expect(second.status == .exited(1))
                #expect(second.stderr.contains(", martlet run --config /run/martlet.yaml)"))
                let identifier = try await node.run(["pgrep", "-f", "^[^ ]*martlet run --config"])
                let process = identifier.stdout.trimmingCharacters(in: .whitespacesAndNewlines)
                #expect(second.stderr.contains("(process \(process), "))
            }
            let other = try await node.martlet("run", "--config", "/run/martlet.yaml", "--pins",
                "/sys/fs/bpf/second", "--socket", "/run/second.sock")
            #expect(other.stderr.contains("`martlet detach eth1 --pins /sys/fs/bpf/martlet`"))
            // It has left nothing behind, and the first one knows nothing of it.
            #expect(try await pinDirectories(node) == "/sys/fs/bpf/martlet\n")
            #expect(try await attached(node) == ["eth1", "eth2"])
            #expect(!controller.hasEnded)
        }
    }

    @Test func `an interface is added to those with a decapsulator, and ends by itself`()
        async throws
    {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            try await addPair(node)
            try await node.run(["ip", "address", "add", "192.168.2.1/24", "dev", "eth2"])
            let martlet = try builtProduct("martlet")
            func programs() async throws -> [String: Int] {
                let links: [NamedLink] = try await node.decode(["ip", "-j", "-d", "link"])
                return Dictionary(
                    uniqueKeysWithValues: links.compactMap { link in
                        link.xdp.map { (link.ifname, $0.prog.id) }
                    })
            }
            func end(_ interface: String) async throws -> Output {
                try await node.attempt([martlet, "decapsulate", interface, "--stop"])
            }
            let first = try await node.run([martlet, "decapsulate", "eth1"]).stdout
            #expect(first.hasPrefix("eth1: program ") && first.contains(", native\n"))
            let before = try #require(await programs()["eth1"])
            try await node.run([martlet, "decapsulate", "eth2"])
            let both = try await programs()
            #expect(both["eth1"] == before && both["eth2"] != nil)
            #expect(try await end("nosuch").stderr.hasPrefix("cannot find interface nosuch"))
            #expect(try await end("lo").stdout == "nothing was running on lo\n")
            #expect(try await programs() == both)
            #expect(try await end("eth1").stdout == "stopped on eth1\n")
            // The kernel ends a link in its own time.
            try await eventually("eth1 has no program") { try await programs()["eth1"] == nil }
            #expect(try await programs()["eth2"] != nil)
            try await node.run([martlet, "decapsulate", "eth1"])
            #expect(try await end("eth1").stdout == "stopped on eth1\n")
            #expect(try await end("eth2").stdout == "stopped on eth2\n")
            #expect(try await pinDirectories(node) == "")
            try await node.run([martlet, "decapsulate", "eth1"])
            let all = try await node.run([martlet, "decapsulate", "--stop"])
            #expect(all.stdout == "stopped\n")
            try await eventually("no program is left") { try await programs() == [:] }
        }
    }
}

/// `ip -d -j link`
private struct NamedLink: Decodable {
    let ifname: String
    let xdp: LinkRead.XDP?
}
