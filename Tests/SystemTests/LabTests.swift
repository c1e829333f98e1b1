import Foundation
import Lab
import Testing

@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"))
struct LabTests {
    @Test(arguments: ["192.168.1.101", "[fd00:1::101]"])
    func `a client reaches a server on its segment at once`(address: String) async throws {
        try await withNetwork(.oneSegment()) { network in
            try await serve(in: network["server-a"])
            #expect(try await fetch("http://\(address)/", in: network) == "server-a")
        }
    }

    @Test(arguments: Topology.BackendSegments.allCases)
    func `a client reaches servers behind the router at once`(
        segments: Topology.BackendSegments
    ) async throws {
        let addresses =
            segments == .own
            ? ["192.168.102.10", "[fd00:102::10]"] : ["192.168.2.102", "[fd00:2::102]"]
        try await withNetwork(.routed(segments: segments)) { network in
            try await serve(in: network["server-b"])
            for address in addresses {
                #expect(try await fetch("http://\(address)/", in: network) == "server-b")
            }
        }
    }

    @Test(arguments: Shape.allCases)
    func `only the balancer answers for the VIP, though every server has it`(
        shape: Shape
    ) async throws {
        try await withNetwork(shape.topology) { network in
            for host in ["balancer", "server-a", "server-b", "server-c"] {
                try await serve(in: network[host])
            }
            for address in ["192.168.1.100", "[fd00:1::100]"] {
                let answer = try await fetch("http://\(address)/", in: network)
                #expect(answer == "balancer")
                let own = try await fetch("http://\(address)/", in: network, from: "server-c")
                #expect(own == "server-c")
            }
        }
    }

    @Test(arguments: Shape.allCases)
    func `every link is up when the network is there`(shape: Shape) async throws {
        try await withNetwork(shape.topology) { network in
            for host in shape.topology.hosts {
                for end in shape.topology.ends(of: host.name) {
                    let file = "/sys/class/net/\(end.interface)/operstate"
                    let state = try String(
                        contentsOfFile: network[host.name].path(file), encoding: .utf8)
                    #expect(state == "up\n", "\(end.interface) of \(host.name)")
                }
            }
        }
    }

    @Test func `every interface leaves to others what a wire would`() async throws {
        try await withNetwork(.oneSegment()) { network in
            for host in ["client", "balancer", "switch"] {
                let interfaces = try await network[host].run(["ls", "/sys/class/net"]).stdout
                for interface in interfaces.split(separator: "\n").map(String.init)
                where interface != "lo" && interface != "br0" {
                    let features = try await network[host].run(["ethtool", "-k", interface]).stdout
                    for feature in [
                        "tx-checksumming: off", "rx-checksumming: off",
                        "generic-receive-offload: on",
                    ] {
                        #expect(features.contains(feature), "\(feature) on \(interface) of \(host)")
                    }
                }
            }
        }
    }

    @Test func `two labs at once know nothing of each other`() async throws {
        try await withNetwork(.oneSegment()) { first in
            try await withNetwork(.oneSegment()) { second in
                try await serve(in: first["server-a"], as: "of the first")
                try await serve(in: second["server-a"], as: "of the second")
                let url = "http://192.168.1.101/"
                #expect(try await fetch(url, in: first) == "of the first")
                #expect(try await fetch(url, in: second) == "of the second")
            }
        }
    }

    @Test func `a node has its own run directory, BPF file system, interfaces and processes`()
        async throws
    {
        try await withNetwork(.oneSegment()) { network in
            let client = network["client"]
            try await client.run(["touch", "/run/note"])
            try await client.run(["mkdir", "/sys/fs/bpf/note"])
            let look = ["sh", "-c", "ls /run /sys/fs/bpf /sys/class/net; ls -d /proc/[0-9]*"]
            let seen = try await client.run(look).stdout.split(separator: "\n")
            #expect(seen.filter { $0 == "note" }.count == 2)
            #expect(seen.contains("eth0"))
            #expect(seen.contains("/proc/1"))
            #expect(!seen.contains("/proc/\(getpid())"))
            let elsewhere = try await network["balancer"].run(look).stdout.split(separator: "\n")
            #expect(!elsewhere.contains("note"))
            #expect(elsewhere.contains("eth1"))
            #expect(!elsewhere.contains("eth0"))
            #expect(!FileManager.default.fileExists(atPath: "/run/note"))
            #expect(!FileManager.default.fileExists(atPath: "/sys/fs/bpf/note"))
            #expect(FileManager.default.fileExists(atPath: client.path("/run/note")))
        }
    }

    @Test func `what a killed program has pinned lives as long as its node`() async throws {
        let map = try await withNetwork(.oneSegment()) { network in
            let node = network["balancer"]
            let pin = """
                bpftool map create /sys/fs/bpf/kept type array key 4 value 4 entries 1 name kept
                echo pinned
                exec sleep 1000
                """
            let program = try await node.start(["sh", "-ec", pin])
            try await program.output.first { $0 == "pinned" }
            program.kill(SIGKILL)
            #expect(await program.wait().status == .killed(signal: SIGKILL))
            let shown = try await node.run(["bpftool", "map", "show", "pinned", "/sys/fs/bpf/kept"])
            return String(shown.stdout.prefix { $0 != ":" })
        }
        #expect(UInt32(map) != nil)
        try await withNetwork(.oneSegment()) { network in
            try await eventually("map \(map) is gone") {
                try await !network["client"].attempt(["bpftool", "map", "show", "id", map])
                    .succeeded
            }
        }
    }

    @Test func `nothing is left of a lab whose maker is killed`() async throws {
        let maker = try await #require(
            processExitsWith: .signal(SIGKILL), observing: [\.standardOutputContent]
        ) {
            try await withNetwork(.oneSegment()) { network in
                for host in ["client", "balancer", "server-a"] {
                    let program = try await network[host].start(["sleep", "1000"])
                    let identifiers = [network[host].identifier, program.identifier]
                    for identifier in identifiers.compactMap({ $0 }) {
                        let line = "\(identifier) \(processBirth(identifier) ?? "unborn")\n"
                        FileHandle.standardOutput.write(Data(line.utf8))
                    }
                }
                kill(getpid(), SIGKILL)
            }
        }
        let lines = String(decoding: maker.standardOutputContent, as: UTF8.self)
            .split(separator: "\n")
        #expect(lines.count == 6 && !lines.contains { $0.hasSuffix("unborn") })
        for line in lines {
            let words = line.split(separator: " ")
            let identifier = try #require(words.first.flatMap { Int32($0) })
            try await eventually("process \(identifier) is gone") {
                processBirth(identifier).map { $0 != words.last.map(String.init) } ?? true
            }
        }
    }

    @Test func `a program inherits no stream of another, which would keep a node alive`()
        async throws
    {
        try await withNetwork(Topology(hosts: [.init("alone")], links: [])) { network in
            // What is there already comes from whoever started the tests.
            let before = try await inheritedSockets(in: network["alone"])
            for _ in 1...3 { _ = try await network["alone"].start(["sleep", "1000"]) }
            #expect(try await inheritedSockets(in: network["alone"]) == before)
        }
    }

    @Test func `ending a node ends its programs and no other node`() async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let client = try await network["client"].start(["sleep", "1000"])
            let server = try await network["server-a"].start(["sleep", "1000"])
            await network["client"].end()
            #expect(await client.wait().status == .killed(signal: SIGKILL))
            #expect(!server.hasEnded)
            await #expect(throws: Failure.self) { try await network["client"].run(["true"]) }
            try await network["server-a"].run(["true"])
        }
    }

    @Test func `a command that fails says which, how and why`() async throws {
        try await withNetwork(Topology(hosts: [.init("alone")], links: [])) { network in
            let failure = try await #require(throws: Failure.self) {
                try await network["alone"].run(["sh", "-c", "echo no reason >&2; exit 3"])
            }
            #expect(
                failure.description == """
                    cannot run sh -c 'echo no reason >&2; exit 3' in node alone: exit status 3
                      no reason
                    """)
            let output = try await network["alone"].attempt(["sh", "-c", "echo so; exit 3"])
            #expect(output.status == .exited(3))
            #expect(output.stdout == "so\n")
        }
    }

    @Test(arguments: ["sleep 1000", "sleep 1000 & echo the stream stays open"])
    func `a command that does not end in time is killed`(command: String) async throws {
        try await withNetwork(Topology(hosts: [.init("alone")], links: [])) { network in
            let failure = try await #require(throws: Failure.self) {
                try await network["alone"].run(["sh", "-c", command], within: .milliseconds(200))
            }
            #expect(failure.description.contains("did not end within"))
            try await eventually("nothing of it runs") {
                try await !network["alone"].run(["sh", "-c", "cat /proc/[0-9]*/comm"]).stdout
                    .contains("sleep")
            }
        }
    }

    @Test func `a signal reaches the program itself`() async throws {
        try await withNetwork(Topology(hosts: [.init("alone")], links: [])) { network in
            let script = """
                trap 'echo heard; exit 7' TERM
                echo ready
                while :; do sleep 0.01; done
                """
            let program = try await network["alone"].start(["sh", "-c", script])
            try await program.output.first { $0 == "ready" }
            program.kill(SIGSTOP)
            let status = try #require(program.identifier.map { "/proc/\($0)/stat" })
            try await eventually("the program has stopped") {
                try String(contentsOfFile: status, encoding: .utf8).contains(") T ")
            }
            program.kill(SIGCONT)
            program.kill(SIGTERM)
            let output = await program.wait()
            #expect(output.status == .exited(7))
            #expect(output.stdout == "ready\nheard\n")
            #expect(program.identifier == nil)
        }
    }

    @Test func `a line that never comes is reported with what came instead`() async throws {
        try await withNetwork(Topology(hosts: [.init("alone")], links: [])) { network in
            let program = try await network["alone"].start(["echo", "something else"])
            let failure = try await #require(throws: Failure.self) {
                try await program.output.first { $0 == "ready" }
            }
            #expect(failure.description.contains("the output ended without it"))
            #expect(failure.description.contains("something else"))
        }
    }

    @Test func `client and server count the same requests`() async throws {
        try await withNetwork(.oneSegment()) { network in
            try await serve(in: network["server-a"])
            let ask = [try builtProduct("martlet-lab"), "request", "--to", "[fd00:1::101]:80"]
            let output = try await network["client"].run(
                ask + ["--count", "100", "--concurrency", "8"])
            let answers = output.stdout.split(separator: "\n")
                .filter { $0.contains(#""backend":"server-a""#) }
            #expect(answers.count == 100)
            _ = try await fetch("http://192.168.1.101/healthz", in: network)
            #expect(
                try await fetch("http://192.168.1.101/count", in: network)
                    == #"{"name":"server-a","requests":100}"# + "\n")
        }
    }

    @Test func `a client tells refused from lost`() async throws {
        try await withNetwork(.oneSegment()) { network in
            let lab = try builtProduct("martlet-lab")
            for (target, failure) in [
                ("192.168.1.101:80", "connection refused"), ("192.168.1.99:80", "timeout"),
            ] {
                let output = try await network["client"].attempt(
                    [lab, "request", "--to", target, "--timeout", "0.5"])
                #expect(output.status == .exited(1))
                #expect(output.stdout.hasPrefix(#"{"failure":"\#(failure)","#))
            }
        }
    }

    @Test func `a client goes on until its input ends`() async throws {
        try await withNetwork(.oneSegment()) { network in
            try await serve(in: network["server-a"])
            let client = try await network["client"].start([
                try builtProduct("martlet-lab"), "request", "--to", "192.168.1.101:80",
                "--until-input-ends", "--rate", "200",
            ])
            try await client.output.first { $0.contains(#""n":20}"#) }
            client.closeInput()
            #expect(await client.wait().status == .exited(0))
        }
    }

    @Test func `a server can be sick and get well`() async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let server = network["server-a"]
            try await serve(in: server)
            let status = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
            for (change, expected) in [("sick", "503"), ("well", "200")] {
                try await server.run(["curl", "-sf", "-X", "POST", "http://127.0.0.1/\(change)"])
                let health = try await server.run(status + ["http://127.0.0.1/healthz"]).stdout
                #expect(health == expected)
                #expect(try await server.run(status + ["http://[::1]/"]).stdout == "200")
            }
        }
    }
}

/// The sockets that a program has from us, besides its three streams.
private func inheritedSockets(in node: Node) async throws -> Set<String> {
    let list = "for file in /proc/self/fd/*; do echo $file $(readlink $file); done"
    let files = try await node.run(["sh", "-c", list]).stdout.split(separator: "\n")
        .map { $0.split(separator: " ").map(String.init) }
    return Set(
        files.filter { file in
            file.count == 2 && file[1].hasPrefix("socket:")
                && !["0", "1", "2"].contains(file[0].split(separator: "/").last)
        }.map { $0[1] })
}

/// The ways that a network can be laid out.
enum Shape: CaseIterable {
    case oneSegment, routedWithOwnSegments, routedWithSharedSegment

    var topology: Topology {
        switch self {
        case .oneSegment: .oneSegment()
        case .routedWithOwnSegments: .routed(segments: .own)
        case .routedWithSharedSegment: .routed(segments: .shared)
        }
    }
}

private func serve(in node: Node, as name: String? = nil) async throws {
    let lab = try builtProduct("martlet-lab")
    let server = try await node.start([lab, "serve", "--name", name ?? node.name])
    try await server.output.first { $0 == "ready" }
}

private func fetch(
    _ url: String, in network: Network, from host: String = "client"
) async throws -> String {
    try await network[host].run(["curl", "-gsS", "--max-time", "5", url]).stdout
}
