import Foundation
import Lab
import Testing

/// `martlet status` and `martlet counters` as people and scripts use them.
@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"), .serialized)
struct CommandTests {
    private static let socket = "/run/martlet/martlet.sock"
    /// As a user who is neither root nor in the socket's group.
    private static let asNobody = [
        "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
    ]

    @Test func `a socket goes with its controller, and a killed one's is replaced`()
        async throws
    {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            let first = try await network.runController(.l2DSR, .v4)
            first.kill(SIGKILL)
            _ = await first.wait()
            #expect(FileManager.default.fileExists(atPath: node.path(Self.socket)))
            let refused = try await node.martlet("status")
            #expect(refused.status == .exited(1))
            #expect(
                refused.stderr == """
                    cannot connect to \(Self.socket): Connection refused (111)
                      the controller that made it is gone; start `martlet run`

                    """)
            let second = try await network.runController(.l2DSR, .v4)
            second.kill(SIGINT)
            #expect(await second.wait().status == .exited(0))
            // The directory is not of its making.
            #expect(try await node.run(["ls", "-A", "/run/martlet"]).stdout == "")
        }
    }

    @Test func `who may not use the socket is told so, and who may`() async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            _ = try await network.runController(.l2DSR, .v4)
            let martlet = try builtProduct("martlet")
            for command in ["status", "counters"] {
                let output = try await node.attempt(Self.asNobody + [martlet, command])
                #expect(output.status == .exited(1))
                #expect(
                    output.stderr == """
                        cannot connect to \(Self.socket): Permission denied (13)
                          run as root, or as a member of the socket's group

                        """)
            }
            #expect(
                try await node.run(["stat", "-c", "%a %n", "/run/martlet", Self.socket]).stdout
                    == "750 /run/martlet\n660 \(Self.socket)\n")
        }
    }

    @Test func `without a controller only root reads the tables, and others are told so`()
        async throws
    {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            let nothing = try await node.martlet("counters")
            #expect(nothing.status == .exited(1))
            #expect(nothing.stderr.contains("nothing is pinned there"))
            let controller = try await network.runController(.l2DSR, .v4)
            controller.kill(SIGTERM)
            _ = await controller.wait()
            let martlet = try builtProduct("martlet")
            let output = try await node.attempt(Self.asNobody + [martlet, "counters"])
            #expect(output.status == .exited(1))
            #expect(output.stderr.contains("Permission denied (13)\n  run as root\n"))
            #expect(try await node.martlet("counters").succeeded)
        }
    }

    @Test(arguments: ["status", "counters"])
    func `watching appends in a pipe, until Ctrl-C`(command: String) async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            _ = try await network.runController(.l2DSR, .v4)
            let watch = [
                try builtProduct("martlet"), command, "--watch", "--interval", "0.1",
            ]
            let text = try await node.start(watch)
            try await eventually("three reports are there") {
                text.output.all.count { $0.hasPrefix("rates are") } >= 3
            }
            #expect(!text.output.text.contains("\u{1B}"))
            text.kill(SIGINT)
            #expect(await text.wait().status == .exited(0))

            let json = try await node.start(watch + ["--json"])
            try await eventually("three lines are there") { json.output.all.count >= 3 }
            json.kill(SIGINT)
            #expect(await json.wait().status == .exited(0))
            for line in json.output.all.prefix(3) {
                _ = try JSONSerialization.jsonObject(with: Data(line.utf8))
            }
        }
    }

    @Test func `watching ends with its reader, and draws anew on a terminal`() async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            _ = try await network.runController(.l2DSR, .v4)
            let martlet = try builtProduct("martlet")
            let watch = "\(martlet) counters --watch --interval 0.1"
            // Does not come back unless the command ends.
            try await node.run(["sh", "-c", "\(watch) | head -n 1"])
            let terminal = try await node.start(["script", "-qec", watch, "/dev/null"])
            try await eventually("it is drawn three times") {
                terminal.output.text.components(separatedBy: "\u{1B}[H\u{1B}[J").count > 3
            }
            terminal.kill(SIGKILL)
        }
    }

    @Test func `who follows events misses none of the next controller's`() async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            let first = try await network.runController(.l2DSR, .v4)
            let events = try await node.start([
                try builtProduct("martlet"), "events", "--service", "web", "--after", "0",
            ])
            // Nobody serves there.
            func downs() -> Int { events.output.all.count { $0.contains("web/server-a is down") } }
            try await eventually("one is told") { downs() == 1 }
            first.kill(SIGKILL)
            _ = await first.wait()
            try await events.errors.first { $0.contains("waiting for the next one") }
            _ = try await network.runController(.l2DSR, .v4)
            try await eventually("another one is told") { downs() == 2 }
            events.kill(SIGINT)
            #expect(await events.wait().status == .exited(0))
        }
    }

    @Test func `a start and a hangup that change something are in the audit log`() async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            struct Line: Decodable, Equatable {
                var by: String
                var outcome: String
                var before: Int
                var after: Int
            }
            func lines() throws -> [Line] {
                let log = try String(
                    contentsOfFile: node.path("/var/lib/martlet/audit.log"), encoding: .utf8)
                return try log.split(separator: "\n").map {
                    try JSONDecoder().decode(Line.self, from: Data($0.utf8))
                }
            }
            let controller = try await network.runController(.l2DSR, .v4)
            let start = Line(by: "the start", outcome: "done", before: 0, after: 1)
            #expect(try lines() == [start])
            try node.write("interfaces: [eth1]\nservices: []\n", to: "/run/martlet.yaml")
            controller.kill(SIGHUP)
            try await eventually("it is written down") { try lines().count == 2 }
            #expect(
                try lines() == [
                    start, Line(by: "SIGHUP", outcome: "done", before: 1, after: 2),
                ])
            controller.kill(SIGTERM)
            _ = await controller.wait()
            _ = try await network.runController(configuration: "interfaces: [eth1]\nservices: []\n")
            #expect(try lines().count == 2)
        }
    }

    @Test func `services and backends are lists, for people and for programs`() async throws {
        try await withNetwork(.oneSegment(backends: 3)) { network in
            let node = network["balancer"]
            _ = try await network.startServers(.l2DSR)
            _ = try await network.runController(.l2DSR, .v4)
            try await network.waitForAllBackends(.v4)
            let services = try await node.martlet("services")
            #expect(services.stdout.contains("  3 of 3  "))
            let backends = try await node.martlet("backends", "web")
            #expect(backends.stdout.split(separator: "\n").count == 4)
            #expect(backends.stdout.contains("web/server-b  192.168.1.102  "))
            let list = try await node.martlet("backends", "--json")
            let found = try JSONSerialization.jsonObject(with: Data(list.stdout.utf8))
            let names = (found as? [[String: Any]])?.map { "\($0["service"]!)/\($0["name"]!)" }
            #expect(names == ["web/server-a", "web/server-b", "web/server-c"])
            let nothing = try await node.martlet("backends", "wob")
            #expect(nothing.status == .exited(1))
            #expect(nothing.stderr == "there is no service wob; services are web\n")
        }
    }

    @Test(arguments: ["INT", "TERM", "ABRT"])
    func `top gives the terminal back, whatever ends it`(signal: String) async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            _ = try await network.runController(.l2DSR, .v4)
            let martlet = try builtProduct("martlet")
            let top = "timeout --foreground -s \(signal) 3 \(martlet) top --interval 0.1"
            let settings = "stty -a | tr -d '\\r' | grep -o '.icanon' | head -n 1"
            let terminal = try await node.run([
                "script", "-qec", "\(top); echo; \(settings)", "/dev/null",
            ]).stdout
            let parts = terminal.components(separatedBy: "\u{1B}[?1049")
            #expect(parts.count == 3, "\(terminal)")
            #expect(parts[1].hasPrefix("h\u{1B}[?25l"))
            #expect(parts[1].contains("server-a") && parts[1].hasSuffix("\u{1B}[?25h"))
            #expect(parts[2].hasPrefix("l") && parts[2].contains(" icanon"))
        }
    }

    @Test func `top without a terminal says what does without one`() async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let refused = try await network["balancer"].martlet("top")
            #expect(refused.status == .exited(1))
            #expect(
                refused.stderr == """
                    cannot show a full screen: this is no terminal
                      martlet status --watch shows it line by line

                    """)
        }
    }

    @Test func `watching counters goes on with the pins when the controller ends`()
        async throws
    {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            let controller = try await network.runController(.l2DSR, .v4)
            let watching = try await node.start([
                try builtProduct("martlet"), "counters", "--watch", "--interval", "0.1",
            ])
            try await watching.output.first { $0.contains("server-a") }
            controller.kill(SIGKILL)
            _ = await controller.wait()
            try await watching.errors.first { $0.hasPrefix("no controller at") }
            let before = watching.output.all.count
            try await eventually("it goes on") { watching.output.all.count > before + 30 }
            watching.kill(SIGINT)
            #expect(await watching.wait().status == .exited(0))
        }
    }

    @Test func `a decapsulator's counters are read from its pins`() async throws {
        try await withNetwork(Way.ipip.topology) { network in
            _ = try await network.startServers(.ipip)
            _ = try await network.runController(.ipip, .v4)
            try await network.waitForAllBackends(.v4)
            let status: StatusRead = try await network["balancer"].decode(
                [try builtProduct("martlet"), "status", "--json"])
            for backend in status.services[0].backends {
                let counters: CountersRead = try await network[backend.name].decode([
                    try builtProduct("martlet"), "counters", "--json", "--pins",
                    "/sys/fs/bpf/martlet-decapsulate",
                ])
                let taken = counters.verdicts.first { $0.name == "DECAPSULATED_IPV4" }
                #expect(try #require(taken).traffic.packets >= backend.traffic.packets)
                #expect(backend.traffic.packets > 0)
                #expect(
                    counters.received.amount
                        == counters.verdicts.map(\.traffic.amount).reduce(Amount(), +))
            }
        }
    }
}
