import Balancing
import ConfigurationFile
import Foundation
import Packets
import Testing

struct MeaningTests {
    @Test func `the example means what it says`() throws {
        let address = { (last: UInt32) in IPAddress.v4(IPv4Address(0xC0A8_0100 + last)) }
        let web = Service(
            name: "web", vip: VIP(address(100)), ports: Ports(80), transport: .tcp,
            scheduler: .maglev, forwarding: .l2DSR,
            healthCheck: HealthCheck(
                probe: .http(path: "/healthz", host: nil), port: 80, interval: .seconds(1),
                timeout: .milliseconds(500), rise: 2, fall: 2),
            backends: [
                Backend(name: "server-a", address: address(101)),
                Backend(name: "server-b", address: address(102), weight: 2),
                Backend(name: "server-c", address: address(103)),
            ])
        let expected = DesiredState(interfaces: ["eth1"], attachMode: .native, services: [web])
        #expect(try parse(example, file: "m.yaml") == expected)
    }

    @Test func `what is left out has its default`() throws {
        let state = try parse(
            """
            interfaces: [eth1, eth2]
            attach-mode: auto
            services:
              - name: dns
                vip: 2001:db8::1
                port: 53
                forwarding: ipip
                health-check: { type: http }
                backends: [{ name: a, address: 192.0.2.1 }]
            """, file: "m.yaml")
        let service = try #require(state.services.first)
        #expect(state.attachMode == .auto)
        #expect(service.transport == .tcp)
        #expect(service.scheduler == .maglev)
        #expect(service.affinity == nil)
        #expect(service.affinityTimeout == .seconds(3600))
        #expect(service.tracking)
        #expect(service.hold == .seconds(3600))
        #expect(service.keepAlive == .seconds(900))
        #expect(service.idleTimeout == .seconds(7200))
        #expect(service.slowStart == nil)
        #expect(service.panicThreshold == nil)
        #expect(service.backends.first?.weight == 1)
        #expect(service.backends.first?.maxConnections == nil)
        #expect(service.backends.first?.isBackup == false)
        #expect(
            service.healthCheck
                == HealthCheck(
                    probe: .http(path: "/", host: nil), port: 53, interval: .seconds(2),
                    timeout: .seconds(1), rise: 2, fall: 3))
    }

    @Test func `the timeout follows an interval that is shorter than its default`() throws {
        let text = try #require(changed("interval: 1s, timeout: 500ms", "interval: 100ms"))
        let check = try parse(text, file: "m.yaml").services.first?.healthCheck
        #expect(check?.timeout == .milliseconds(100))
    }

    @Test func `any port needs a port for the check, and has one then`() throws {
        let text = try #require(changed("port: 80", "port: any"))
        let state = try parse(
            text.replacing("type: http", with: "type: http, port: 8080"), file: "m.yaml")
        #expect(state.services.first?.ports == .any)
        #expect(state.services.first?.healthCheck?.port == 8080)
        #expect(errors(text.replacing("health-check:", with: "#")) == [])
    }

    @Test func `a node may have nothing to do yet`() throws {
        let state = try parse("{interfaces: [eth1], services: []}", file: "m.yaml")
        #expect(state == DesiredState(interfaces: ["eth1"], services: []))
    }

    @Test func `quotes and asterisks stay what they are`() throws {
        let text = try #require(changed("/healthz", "'/*a*?b'"))
        let state = try parse("\u{FEFF}" + text.replacing("\n", with: "\r\n"), file: "m.yaml")
        #expect(state.services.first?.healthCheck?.probe == .http(path: "/*a*?b", host: nil))
    }

    @Test(arguments: ["martlet.yaml", "ipv6-ipip.yaml", "edge.yaml", "nat.yaml", "flows.yaml"])
    func `the examples that are delivered are accepted`(name: String) throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let path = root.appending(path: "deploy/examples/\(name)").path
        #expect(try !ConfigurationFile.read(path).services.isEmpty)
    }
}
