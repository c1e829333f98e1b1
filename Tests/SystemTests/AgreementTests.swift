import Foundation
import Lab
import Testing

/// What Martlet says of itself, held against what independent tools see.
@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"))
struct AgreementTests {
    private struct Status: Decodable {
        let interfaces: [Interface]
        let services: [Service]

        struct Interface: Decodable {
            let name: String
            let mode: String?
            let program: Int
        }
        struct Service: Decodable { let backends: [Backend] }
        struct Backend: Decodable {
            let name: String
            let slots: Int
            let way: Way
        }
        struct Way: Decodable { let neighbour: String? }
    }

    private struct Link: Decodable {
        let address: String
        let xdp: XDP?

        struct XDP: Decodable {
            let mode: Int
            let prog: Program
        }
        struct Program: Decodable { let id: Int }
    }

    private struct Counters: Decodable {
        let received: Traffic

        struct Traffic: Decodable { let packets: UInt64 }
    }

    private func decode<Value: Decodable>(
        _ node: Node, _ command: [String]
    ) async throws -> Value {
        let output = try await node.run(command)
        return try JSONDecoder().decode(Value.self, from: Data(output.stdout.utf8))
    }

    @Test func `bpftool and ip show what martlet status and counters show`() async throws {
        try await withNetwork(.oneSegment()) { network in
            let balancer = network["balancer"]
            let martlet = try builtProduct("martlet")
            try """
            interfaces: [eth1]
            services:
              - name: web
                vip: 192.168.1.100
                port: 80
                forwarding: l2-dsr
                backends:
                  - { name: server-a, address: 192.168.1.101 }
                  - { name: server-b, address: 192.168.1.102, weight: 2 }
                  - { name: server-c, address: 192.168.1.103 }
            """.write(
                toFile: balancer.path("/run/martlet.yaml"), atomically: false, encoding: .utf8)
            let controller = try await balancer.start(
                [martlet, "run", "--config", "/run/martlet.yaml"])
            for last in 101...103 {
                try await controller.errors.first {
                    $0.contains("192.168.1.\(last) is reached over eth1")
                }
            }
            let status: Status = try await decode(balancer, [martlet, "status", "--json"])

            // The program: ip link tells 1 for native mode.
            let link: [Link] = try await decode(
                balancer, ["ip", "-j", "-d", "link", "show", "eth1"])
            #expect(status.interfaces.map(\.name) == ["eth1"])
            #expect(status.interfaces.map(\.program) == [link[0].xdp?.prog.id])
            #expect(status.interfaces.map(\.mode) == ["native"])
            #expect(link[0].xdp?.mode == 1)

            // The way to each backend: its own MAC address.
            for backend in status.services[0].backends {
                let other: [Link] = try await decode(
                    network[backend.name], ["ip", "-j", "link", "show", "eth0"])
                #expect(backend.way.neighbour == other[0].address)
            }
            #expect(status.services[0].backends.map(\.slots) == [16384, 32768, 16384])

            // Refused, but received: the balancer serves nothing itself.
            for _ in 1...3 {
                _ = try await network["client"].attempt(["curl", "-s", "http://192.168.1.1:9/"])
            }
            // Others may send meanwhile: what bpftool sees lies between two looks of ours.
            let counters = [martlet, "counters", "--json"]
            let before: Counters = try await decode(balancer, counters)
            let seen = try await sumOfVerdicts(balancer)
            let after: Counters = try await decode(balancer, counters)
            #expect(before.received.packets >= 3)
            #expect((before.received.packets...after.received.packets).contains(seen))
        }
    }

    private func sumOfVerdicts(_ node: Node) async throws -> UInt64 {
        struct Entry: Decodable {
            let formatted: Formatted

            struct Formatted: Decodable { let values: [PerCPU] }
            struct PerCPU: Decodable { let value: Count }
            struct Count: Decodable { let packets: UInt64 }
        }
        let map = "/sys/fs/bpf/martlet/verdict_counters"
        let entries: [Entry] = try await decode(
            node, ["bpftool", "-j", "map", "dump", "pinned", map])
        return entries.flatMap(\.formatted.values).reduce(0) { $0 + $1.value.packets }
    }
}
