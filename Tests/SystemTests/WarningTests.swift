import Foundation
import Lab
import Testing

/// What `martlet run` and `martlet check` say of a configuration that is right and does nothing.
@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"), .serialized)
struct WarningTests {
    private static let foreign = "packets for 192.168.1.99 may not come here"

    private func configuration(_ keys: String = "") -> String {
        """
        interfaces: [eth1]
        \(keys)
        services:
          - name: web
            vip: 192.168.1.99
            port: 80
            forwarding: l2-dsr
            backends: [{ name: a, address: 192.168.101.10 }]

        """
    }

    @Test func `a VIP of nobody and a backend behind a router are told of`() async throws {
        try await withNetwork(.routed(segments: .own)) { network in
            let controller = try await network.runController(configuration: configuration())
            let hint = try await controller.errors.first { $0.contains("web/a gets nothing") }
            #expect(hint.contains("192.168.101.10 is behind the router 192.168.1.254"))
            #expect(controller.errors.text.contains(Self.foreign))
        }
    }

    @Test func `a VIP in a local route is an address of the host`() async throws {
        try await withNetwork(.routed(segments: .own)) { network in
            try await network["balancer"].run([
                "ip", "route", "add", "local", "192.168.1.96/28", "dev", "lo",
            ])
            let controller = try await network.runController(configuration: configuration())
            try await controller.errors.first { $0.contains("web/a gets nothing") }
            #expect(!controller.errors.text.contains(Self.foreign))
        }
    }

    @Test func `a file is checked from the standard input, with what it has for nothing`()
        async throws
    {
        try await withNetwork(.oneSegment(backends: 1)) { network in
            let node = network["balancer"]
            try node.write(
                configuration("nat-addresses: [192.168.1.200]"), to: "/run/martlet.yaml")
            let martlet = try builtProduct("martlet")
            let output = try await node.run(["sh", "-c", "\(martlet) check - </run/martlet.yaml"])
            #expect(output.stdout == "-: right: 1 service, 1 backend, on eth1\n")
            #expect(output.stderr.hasPrefix("nat-addresses are for nothing: no service has"))
            let version = try await node.martlet("--version")
            #expect(version.succeeded && version.stdout.contains("."))
        }
    }
}
