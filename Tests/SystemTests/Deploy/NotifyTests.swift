import Foundation
import Lab
import Testing

/// What the daemon tells those who started it and those who watch it.
@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"), .serialized)
struct NotifyTests {
    private static let promtool = ["/usr/bin/promtool", ".build-tools/promtool"]
        .map { $0.hasPrefix("/") ? $0 : deploy.deletingLastPathComponent().path + "/" + $0 }
        .first { FileManager.default.isExecutableFile(atPath: $0) }

    /// A socket for datagrams in the node, as systemd's.
    private func ear(in node: Node) throws -> Int32 {
        let ear = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array(node.path("/run/notify").utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(ear, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(result == 0)
        return ear
    }

    /// The next datagram; nil if none comes.
    private func hear(_ ear: Int32) -> String? {
        var waiting = pollfd(fd: ear, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, 10_000) == 1 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(ear, &buffer, buffer.count, 0)
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }

    @Test func `it is ready when the API answers, alive until it stops, and says that it stops`()
        async throws
    {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            let ear = try ear(in: node)
            defer { close(ear) }
            try node.write(configuration, to: "/run/martlet.yaml")
            let controller = try await node.start([
                "env", "NOTIFY_SOCKET=/run/notify", "WATCHDOG_USEC=200000",
                try builtProduct("martlet"), "run", "--config", "/run/martlet.yaml",
            ])
            var first = hear(ear)
            // The process was alive before it was ready.
            while first == "WATCHDOG=1" { first = hear(ear) }
            #expect(first == "READY=1\nSTATUS=generation 1: 1 service")
            #expect(try await node.martlet("status").succeeded)
            for _ in 0..<3 { #expect(hear(ear) == "WATCHDOG=1") }
            controller.kill(SIGTERM)
            var last = hear(ear)
            while last == "WATCHDOG=1" { last = hear(ear) }
            #expect(last == "STOPPING=1")
            #expect(await controller.wait().status == .exited(0))
        }
    }

    @Test func `its log is JSON if that is wanted, each line of it`() async throws {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let controller = try await network.runController(
                configuration: configuration, options: ["--log-format", "json"])
            controller.kill(SIGTERM)
            let output = await controller.wait()
            let lines = output.stderr.split(separator: "\n")
            #expect(lines.count > 1)
            for line in lines {
                let record = try JSONSerialization.jsonObject(with: Data(line.utf8))
                let fields = try #require(record as? [String: Any])
                #expect(fields["time"] is String && fields["message"] is String)
            }
        }
    }

    @Test(.enabled(if: promtool != nil, "`make packages` fetches promtool"))
    func `what a scraper gets of it is as Prometheus wants it`() async throws {
        let promtool = try #require(Self.promtool)
        try await withNetwork(.oneSegment()) { network in
            let node = network["balancer"]
            _ = try await network.startServers(.l2DSR)
            _ = try await network.runController(
                .l2DSR, .v4, options: ["--metrics-listen", "9464"])
            try await network.waitForAllBackends(.v4)
            let fetch = "curl -sSf http://127.0.0.1:9464/metrics"
            let checked = try await node.run(["sh", "-c", "\(fetch) | \(promtool) check metrics"])
            #expect(checked.stdout + checked.stderr == "")
            let text = try await node.run(["sh", "-c", fetch]).stdout
            let forwarded = text.split(separator: "\n").first {
                $0.hasPrefix("martlet_packets_total{verdict=\"FORWARD_L2_DSR\"")
            }
            #expect(forwarded?.hasSuffix(" 0") == false)
            #expect(text.contains("martlet_interface_attached{interface=\"eth1\"} 1\n"))
            // From elsewhere nobody gets there.
            let outside = try await network["client"].attempt(
                ["curl", "-sS", "--max-time", "5", "http://192.168.1.1:9464/metrics"])
            #expect(outside.stderr.contains("Failed to connect"))
        }
    }

    private let configuration = """
        interfaces: [eth1]
        services:
          - name: web
            vip: 192.168.1.100
            port: 80
            forwarding: l2-dsr
            backends: [{ name: server-a, address: 192.168.1.101 }]
        """
}
