import Foundation
import Lab
import Testing

/// What is peculiar to the modes that rewrite addresses and ports, seen from outside.
@Suite(.enabled(if: geteuid() == 0, "namespaces and BPF programs need root"), .serialized)
struct TranslationTests {
    static let ways: [Way] = [.nat, .fullNAT]

    /// Starts `martlet run` with a service on port 80, whose backends take it at `port`, or there.
    private func runController(
        _ network: Network, _ way: Way, _ family: Family, port: Int?, settings: String? = nil
    ) async throws -> RunningProgram {
        let own = port.map { ", port: \($0)" } ?? ""
        let backends = zip(servers, way.addresses(family))
            .map { "      - { name: \($0), address: \"\($1)\"\(own) }" }
        try network["balancer"].write(
            """
            \(settings ?? way.nodeSettings)
            services:
              - name: web
                vip: "\(family.rawValue)"
                port: 80
                forwarding: \(way.rawValue)
                health-check: { type: http, path: /healthz, interval: 100ms, rise: 2, fall: 2 }
                backends:
            \(backends.joined(separator: "\n"))
            """, to: "/run/martlet.yaml")
        let controller = try await network["balancer"].start(
            [try builtProduct("martlet"), "run", "--config", "/run/martlet.yaml"])
        try await controller.errors.first { $0.contains("runs on eth1") }
        return controller
    }

    private func startServers(_ network: Network, port: Int) async throws {
        for name in servers {
            let server = try await network[name].start([
                try builtProduct("martlet-lab"), "serve", "--name", name, "--port", "\(port)",
            ])
            try await server.output.first { $0 == "ready" }
        }
    }

    private func counts(_ balancer: Node) async throws -> [String: UInt64] {
        let counters: CountersRead = try await balancer.decode(
            [try builtProduct("martlet"), "counters", "--json"])
        return Dictionary(
            uniqueKeysWithValues: counters.verdicts.map { ($0.name, $0.traffic.packets) })
    }

    @Test(arguments: ways, Family.allCases)
    func `backends take it at their own port, and answers leave in the driver`(
        way: Way, family: Family
    ) async throws {
        try await withNetwork(way.topology) { network in
            try await startServers(network, port: 8080)
            let controller = try await runController(network, way, family, port: 8080)
            try await network.waitForAllBackends(family)
            let before = try await counts(network["balancer"])
            let tally = try await network.request(100, family)
            #expect(tally.failures == [])
            let after = try await counts(network["balancer"])
            let grown = after.merging(before) { $0 - $1 }.filter { $0.value > 0 }
            // Probes are answered to this host itself.
            #expect(
                Set(grown.keys).subtracting(["PASS_NO_SERVICE", "PASS_NOT_IP"])
                    == [way.verdict, "FORWARD_RETURN"], "\(grown)")
            #expect(grown["FORWARD_RETURN", default: 0] >= 400, "SYN-ACK, ACK, answer, FIN")
            // A probe may be late on a busy machine.
            #expect(
                !controller.errors.all.contains {
                    $0.contains("warning") && !$0.contains("event=health")
                })

            let status = try await network["balancer"].martlet("status").stdout
            let place = family == .v4 ? ":8080 by " : "]:8080 by "
            #expect(status.contains(place), "\(status)")
        }
    }

    @Test(arguments: ways, Family.allCases)
    func `a connection lives through a restart, and through other NAT addresses`(
        way: Way, family: Family
    ) async throws {
        try await withNetwork(way.topology) { network in
            _ = try await network.startServers(way)
            let balancer = network["balancer"]
            let first = try await network.runController(way, family)
            try await network.waitForAllBackends(family)
            var connections: [RunningProgram] = []
            for _ in 0..<8 {
                connections.append(try await network["client"].openConnection(to: family))
            }
            first.kill(SIGKILL)
            _ = await first.wait()
            let others = ["192.168.1.201/32", "fd00:1::201/128"]
            if way == .fullNAT {
                for address in others {
                    try await balancer.run([
                        "ip", "address", "add", address, "dev", "eth1", "preferred_lft", "0",
                        "nodad",
                    ])
                }
            }
            let settings = way.nodeSettings.replacing("200", with: "201")
            _ = try await runController(network, way, family, port: nil, settings: settings)
            try await network.waitForAllBackends(family)
            for connection in connections {
                connection.closeInput()
                let output = try await connection.wait(within: .seconds(30))
                #expect(output.stdout.contains("HTTP/1.1 200"), "\(output)")
            }
            if way == .fullNAT {
                let sources = try await network["server-a"].run(["ss", "-Htan"]).stdout
                #expect(sources.contains(family == .v4 ? "192.168.1.201" : "fd00:1::201"))
            }
        }
    }

    @Test(arguments: ways)
    func `answers come from the MAC address that the interface has now`(way: Way) async throws {
        try await withNetwork(way.topology) { network in
            _ = try await network.startServers(way)
            _ = try await network.runController(way, .v4)
            try await network.waitForAllBackends(.v4)
            let address = "02:00:00:00:77:77"
            try await network["balancer"].run(["ip", "link", "set", "eth1", "address", address])
            let capture = try await network["client"].start([
                "tcpdump", "-n", "-i", "eth0", "--immediate-mode", "-Z", "root", "-c", "1",
                "ether src \(address) and tcp src port 80",
            ])
            try await capture.errors.first { $0.contains("listening on") }
            // Until the controller has heard of the address, answers come from the one before.
            try await eventually("an answer comes from \(address)", within: .seconds(30)) {
                let failures = try await network.request(5, .v4).failures
                #expect(failures == [])
                return capture.output.all.contains { $0.contains("192.168.1.100.80 >") }
            }
            #expect(try await capture.wait(within: .seconds(30)).status == .exited(0))
        }
    }

    @Test func `what the host lacks for answers is said at the start, with the cure`()
        async throws
    {
        try await withNetwork(.oneSegment(backends: 1, isPlain: true)) { network in
            let nat = try await runController(
                network, .nat, .v4, port: 80, settings: "interfaces: [eth1]")
            try await nat.errors.first { $0.contains("this host forwards no IPv4 packets") }
            try await nat.errors.first { $0.contains("sysctl -w net.ipv4.ip_forward=1") }
            nat.kill(SIGTERM)
            _ = await nat.wait()
            let fullNAT = try await runController(
                network, .fullNAT, .v4, port: 80,
                settings: "interfaces: [eth1]\nnat-addresses: [192.168.1.200, 192.168.1.201]")
            try await fullNAT.errors.first { $0.contains("192.168.1.201 is no address of this") }
            #expect(!fullNAT.errors.all.contains { $0.contains("192.168.1.200 is no address") })
        }
    }
}

extension Node {
    /// A connection to port 80 of the VIP that asks for a page when its input ends.
    fileprivate func openConnection(to family: Family) async throws -> RunningProgram {
        let script = """
            exec 3<>/dev/tcp/\(family.rawValue)/80
            echo open
            read -r _ || true
            printf 'GET / HTTP/1.1\\r\\nHost: vip\\r\\nConnection: close\\r\\n\\r\\n' >&3
            cat <&3
            """
        let program = try await start(["bash", "-ec", script])
        try await program.output.first { $0 == "open" }
        return program
    }
}
