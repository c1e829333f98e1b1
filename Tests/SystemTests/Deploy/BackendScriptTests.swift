import Foundation
import Lab
import Testing

/// The scripts that set backends up, on servers that have nothing yet.
@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"), .serialized)
struct BackendScriptTests {
    private static func script(_ name: String) -> String {
        deploy.appending(path: "backend/\(name)").path
    }

    /// What a script may have changed.
    private func state(_ node: Node) async throws -> String {
        try await node.run([
            "sh", "-c",
            """
            ip -o address show dev lo; cat /proc/sys/net/ipv4/conf/all/arp_ignore
            cat /proc/sys/net/ipv4/conf/all/arp_announce; ls -A /run /sys/fs/bpf; ip -o link
            """,
        ]).stdout.split(separator: "\n").map { line in
            // How long an address is preferred is told with it.
            line.replacing(/qdisc.*/, with: "")
        }.joined(separator: "\n")
    }

    /// As the topology has it, without what makes a server a backend.
    private func strip(_ node: Node) async throws {
        try await node.run([
            "sh", "-ec",
            """
            ip address del 192.168.1.100/32 dev lo
            ip -6 address del fd00:1::100/128 dev lo
            echo 0 > /proc/sys/net/ipv4/conf/all/arp_ignore
            echo 0 > /proc/sys/net/ipv4/conf/all/arp_announce
            """,
        ])
    }

    @Test(arguments: [Family.v4, .v6])
    func `after l2-dsr a server answers for the VIP, and tells nobody that it has it`(
        family: Family
    ) async throws {
        try await withNetwork(.oneSegment()) { network in
            for name in servers {
                let node = network[name]
                try await strip(node)
                let before = try await state(node)
                let all = [Self.script("l2-dsr"), "192.168.1.100", "fd00:1::100"]
                try await node.run(all)
                let first = try await state(node)
                #expect(first != before)
                try await node.run(all)
                #expect(try await state(node) == first)
                try await node.run([Self.script("l2-dsr"), "--undo"] + all.dropFirst())
                #expect(try await state(node) == before)
                try await node.run([Self.script("l2-dsr"), "--undo"] + all.dropFirst())
                #expect(try await state(node) == before)
                try await node.run(all)
            }
            _ = try await network.startServers(.l2DSR)
            _ = try await network.runController(.l2DSR, family)
            try await network.waitForAllBackends(family)
            // Who has the VIP? The balancer, and nobody else.
            let probe =
                family == .v4 ? "ip neigh show to 192.168.1.100" : "ip -6 neigh show to fd00:1::100"
            let neighbour = try await network["client"].run(["sh", "-c", probe]).stdout
            let own = try await network["balancer"].run(["cat", "/sys/class/net/eth1/address"])
            #expect(neighbour.contains(own.stdout.trimmingCharacters(in: .newlines)))
        }
    }

    @Test(arguments: ["l2-dsr", "tunnel"])
    func `a VIP is the same however it is spelled`(name: String) async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["server-a"]
            try await strip(node)
            let before = try await state(node)
            let settings = ["env", "MARTLET=\(try builtProduct("martlet"))"]
            func script(_ vip: String, undo: Bool = false) async throws {
                try await node.run(
                    settings + [Self.script(name)] + (undo ? ["--undo"] : [])
                        + (name == "tunnel" ? ["eth0"] : []) + [vip])
            }
            try await script("fd00:1::100")
            let first = try await state(node)
            #expect(first != before)
            try await script("FD00:0001:0:0::0100")
            #expect(try await state(node) == first)
            try await script("fd00:1:0:0:0:0:0:100", undo: true)
            #expect(try await state(node) == before)
        }
    }

    @Test(arguments: [Way.ipip, .gue])
    func `after tunnel a server takes packets out of tunnels, and answers`(way: Way) async throws {
        try await withNetwork(way.topology) { network in
            for name in servers {
                let node = network[name]
                try await strip(node)
                let before = try await state(node)
                let command = ["env", "MARTLET=\(try builtProduct("martlet"))"]
                let all = ["eth0", "192.168.1.100", "fd00:1::100"]
                try await node.run(command + [Self.script("tunnel")] + all)
                try await node.run(command + [Self.script("tunnel")] + all)
                try await node.run(command + [Self.script("tunnel"), "--undo"] + all)
                #expect(try await state(node) == before)
                try await node.run(command + [Self.script("tunnel")] + all)
                _ = try await network.serve(name)
            }
            _ = try await network.runController(way, .v4)
            try await network.waitForAllBackends(.v4)
        }
    }

    @Test(arguments: [
        ["l2-dsr"], ["l2-dsr", "--undo"], ["l2-dsr", "192.168.1.100; reboot"],
        ["l2-dsr", "--help"],
        ["tunnel"], ["tunnel", "eth0"], ["tunnel", "eth0", "web"],
    ])
    func `who calls a script wrongly is told how, and nothing is changed`(
        arguments: [String]
    ) async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["server-a"]
            let before = try await state(node)
            let output = try await node.attempt(
                [Self.script(arguments[0])] + arguments.dropFirst())
            #expect(output.status == .exited(64))
            #expect(output.stderr.hasPrefix("cannot set up this backend: "))
            #expect(output.stderr.contains("\n  usage: \(arguments[0]) "))
            #expect(try await state(node) == before)
        }
    }
}
