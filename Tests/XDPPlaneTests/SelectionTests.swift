import Balancing
import Glibc
import Packets
import Testing

@testable import XDPPlane

/// Whom new flows get in the real kernel, where more than their hash decides.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct SelectionTests {
    private static let vips = ["192.0.2.100", "2001:db8::100"]

    private func stage(
        _ vip: String, _ forwarding: Forwarding, _ scheduler: Scheduler,
        affinity: Affinity? = nil, limit: UInt32? = nil
    ) throws -> FlowStage {
        let backends =
            vip.contains(":")
            ? ["2001:db8:5::1", "2001:db8:5::2", "2001:db8:5::3"]
            : ["10.99.0.1", "10.99.0.2", "10.99.0.3"]
        return try FlowStage(
            vip: vip, forwarding: forwarding, backends: backends, scheduler: scheduler,
            affinity: affinity, limit: limit)
    }

    @Test(
        arguments: vips,
        [
            (Forwarding.ipip, Scheduler.maglev), (.nat, .roundRobin), (.fullNAT, .maglev),
            (.fullNAT, .leastConnections), (.gue, .leastConnections), (.nat, .responseTime),
        ])
    func `a backend gets so many flows as it may have, and one more when one ends`(
        vip: String, mode: (forwarding: Forwarding, scheduler: Scheduler)
    ) throws {
        let limit: UInt32 = 5
        let stage = try stage(vip, mode.forwarding, mode.scheduler, limit: limit)
        var backends: [UInt32: Int] = [:]
        let clients = 1...3 * limit
        for client in clients {
            let backend: Int = try #require(try stage.send(client, .syn))
            backends[client] = backend
            #expect(try stage.send(client, .ack) == backend)
        }
        for backend in 0..<3 { #expect(backends.values.count { $0 == backend } == Int(limit)) }
        #expect(try stage.openFlows() == [limit, limit, limit])
        // Nobody takes another one, and whoever has one keeps it.
        for client in 100..<120 as Range<UInt32> {
            #expect(try stage.send(client, .syn) == nil)
        }
        #expect(try stage.verdicts()["DROP_BACKENDS_FULL"] == 20)
        for client in clients { #expect(try stage.send(client, .ack) == backends[client]) }
        for (client, next) in zip([3, 8, 14] as [UInt32], (200 as UInt32)...) {
            #expect(try stage.send(client, [.fin, .ack]) == backends[client])
            #expect(try stage.send(next, .syn) == backends[client])
            #expect(try stage.send(next + 100, .syn) == nil)
        }
        #expect(try stage.openFlows() == [limit, limit, limit])
        #expect(try stage.verdicts()["DROP_BACKENDS_FULL"] == 23)
    }

    @Test(arguments: vips, [Forwarding.ipip, .nat, .fullNAT])
    func `with affinity a client keeps its backend over all its flows, in turns or not`(
        vip: String, forwarding: Forwarding
    ) throws {
        var stage = try stage(vip, forwarding, .roundRobin, affinity: .client)
        let ports = 41000..<41050 as Range<UInt16>
        func backends(of client: UInt32) throws -> Set<Int?> {
            try Set(ports.map { try stage.send(client, port: $0, .syn) })
        }
        // A turn for each client, and none for its later flows.
        let homes = try (1...6 as ClosedRange<UInt32>).map { client in
            let found = try backends(of: client).compactMap(\.self)
            #expect(found.count == 1)
            return try #require(found.first)
        }
        #expect(Set(homes[..<3]) == [0, 1, 2])
        #expect(homes[3...] == homes[..<3])

        // Closed, as the controller closes what is drained: it has no turns either.
        let closed = homes[0]
        let next = stage.backends[(closed + 1) % 3]
        let slots = try #require(stage.plane.applied.services[stage.service]?.slots)
        let changes = slots.indices.filter { slots[$0].owner == stage.backends[closed] }
            .map { SlotChange(slot: $0, to: slots[$0].given(to: next) { _ in false }) }
        try stage.plane.apply(.writeSlots(stage.service, changes))
        let load = PlaneContents.Load(isClosed: true)
        try stage.plane.apply(.setLoad(stage.backends[closed], load))
        let later = 42000..<42050 as Range<UInt16>
        let other = try Set(later.map { try stage.send(1, port: $0, .syn) }).compactMap(\.self)
        #expect(other.count == 1)
        let home = try #require(other.first)
        #expect(home != closed)
        #expect(try stage.send(2, port: 42000, .syn) == homes[1])
        #expect(try stage.send(3, port: 42000, .syn) == homes[2])
        // What was open stays where it was.
        for port in ports { #expect(try stage.send(1, port: port, .ack) == closed) }
        // Open again, the client stays where it has gone.
        try stage.plane.apply(.setLoad(stage.backends[closed], PlaneContents.Load()))
        #expect(try stage.send(1, port: 43000, .syn) == home)
        #expect(try backends(of: 4) == [closed])
    }
}
