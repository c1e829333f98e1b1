import Balancing
import Glibc
import Packets
import Testing

@testable import XDPPlane

/// `maglev` over TCP while nothing changes.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct SettledFlowTests {
    private static let families = [
        ("192.0.2.100", ["192.168.1.101", "192.168.1.102", "192.168.1.103"]),
        ("2001:db8::100", ["2001:db8::101", "2001:db8::102", "2001:db8::103"]),
    ]

    /// SYN, ACK and data, FIN, and something after it.
    private static let connection: [TCPFlags] = [
        .syn, .ack, [.psh, .ack], [.psh, .ack], [.fin, .ack], .ack, .rst,
    ]

    @Test(arguments: families, Forwarding.allCases)
    func `in the steady state nothing is written to the flow table`(
        family: (vip: String, backends: [String]), forwarding: Forwarding
    ) throws {
        let stage = try FlowStage(
            vip: family.vip, forwarding: forwarding, backends: family.backends)
        let clients = 1...1000 as ClosedRange<UInt32>
        for client in clients {
            for flags in Self.connection { try stage.send(client, flags) }
        }
        // Again, as other flows of the same clients, and the same flows once more.
        for client in clients {
            try stage.send(client, port: 41001, .syn)
            try stage.send(client, .syn)
        }
        let mode = forwarding.rawValue.uppercased().split(separator: "-").joined(separator: "_")
        let sent = UInt64(clients.count * (Self.connection.count + 2))
        #expect(try stage.verdicts() == ["FORWARD_\(mode)": sent])
        #expect(try stage.entries() == [])
        #expect(try stage.plane.plane.flowEvents() == FlowEvents())
        if forwarding != .fullNAT { #expect(try stage.openFlows() == [0, 0, 0]) }
    }

    // Of n packets of random clients a backend with the share p gets n · p, give or take
    // sqrt(n · p · (1 - p)): for p = 0.1 and n = 2^21 that is 0.21 % of its share, so 2 % is more
    // than nine times as much. Hash and clients are the same in each run anyway.
    @Test(arguments: families, [[1, 3, 6], [5, 1, 1]] as [[UInt16]])
    func `backends get flows by their weights within two percent`(
        family: (vip: String, backends: [String]), weights: [UInt16]
    ) throws {
        let stage = try FlowStage(
            vip: family.vip, forwarding: .ipip, backends: family.backends, weights: weights)
        let count: Int32 = 1 << 21
        try Flood().send(count, .syn, to: stage)
        let counters = try stage.plane.plane.counters().backends
        let sum = weights.map(Double.init).reduce(0, +)
        var packets: UInt64 = 0
        for (backend, weight) in zip(stage.backends, weights) {
            let count = try #require(counters[backend]).packets
            packets += count
            let share = Double(count) / Double(1 << 21) / (Double(weight) / sum)
            #expect(abs(share - 1) < 0.02, "weight \(weight)")
        }
        #expect(packets == UInt64(count))
        #expect(try stage.verdicts() == ["FORWARD_IPIP": UInt64(count)])
    }
}
