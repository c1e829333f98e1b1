import Balancing
import HealthChecks
import Netlink
import Packets
import Testing

@testable import Control

/// What the controller and its watcher do for answers that come back through this node.
struct NATTests {
    private func service(
        _ forwarding: Forwarding, vip: String = "192.168.1.100", ports: [UInt16?] = [8080, nil]
    ) throws -> Service {
        let vip = try #require(IPAddress(vip))
        return Service(
            name: "web", vip: VIP(vip), ports: Ports(80), forwarding: forwarding,
            healthCheck: check,
            backends: zip(addresses, ports).enumerated().map {
                Backend(name: "b\($0.offset)", address: $0.element.0, port: $0.element.1)
            })
    }

    @Test func `backends are probed, shown and recorded with ports of their own`() async throws {
        let plane = FakePlane()
        let desired = DesiredState(interfaces: ["eth1"], services: [try service(.nat)])
        let controller = try Controller(desired, on: plane, logger: noLogger)
        try await controller.start()
        await controller.take(allReachable)
        let ports = await controller.probeTargets.map(\.check.port).sorted()
        #expect(ports == [80, 8080])
        for target in await controller.probeTargets {
            await controller.take(result(true), of: target)
        }
        #expect(Set(plane.shares().keys) == Set(addresses.prefix(2)))
        #expect(plane.contents().backends.values.compactMap(\.port) == [8080])
        #expect(
            Set(plane.contents().returns.keys.map(\.port)) == [80, 8080],
            "each answers from where it is asked")
        let status = try await controller.status(on: [])
        #expect(status.services[0].forwarding == .nat)
        #expect(status.services[0].backends.map(\.port) == [8080, nil])
        let counters = try await controller.counters()
        #expect(counters.services[0].backends.map(\.port) == [8080, nil])
    }

    @Test func `an address that left the file goes when no flow is open there`() async throws {
        let plane = FakePlane()
        let ours = try ["192.0.2.10", "192.0.2.11"].map { try #require(IPAddress($0)) }
        func controller(_ addresses: [IPAddress]) throws -> Controller<FakePlane> {
            try Controller(
                DesiredState(
                    interfaces: ["eth1"], natAddresses: addresses, services: [service(.fullNAT)]),
                on: plane, logger: noLogger)
        }
        try await controller([ours[0]]).start()
        let first = try #require(plane.contents().pool.addresses.keys.first)
        var flows = [Int](repeating: 0, count: NATPool.shareCount)
        flows[7] = 1
        plane.use(NATUse([first: flows]))
        let second = try controller([ours[1]])
        try await second.start()
        #expect(plane.contents().pool[.v4].allSatisfy { $0.owner != first && $0.former == first })
        try await second.tidyPool()
        #expect(plane.contents().pool[.v4].filter { $0.former != nil }.count == 1)
        #expect(plane.contents().pool[.v4][7].former == first)
        _ = plane.takeSteps()
        try await second.tidyPool()
        #expect(plane.takeSteps() == [])
        plane.use(NATUse())
        try await second.tidyPool()
        #expect(plane.contents().pool.addresses.values.map(\.self) == [ours[1]])
        _ = plane.takeSteps()
        plane.use(NATUse([first: flows]))
        try await second.tidyPool()
        #expect(plane.takeSteps() == [], "nothing is left to look for")
    }

    @Test func `answers leave by the cards with the program and by their VLANs`() async throws {
        let up: LinkState.Flags = [.enabled, .carrier]
        let card = LinkState(
            index: 2, name: "eth1", address: MACAddress(1), mtu: 1500, flags: up)
        let vlan = LinkState(
            index: 5, name: "guests", address: MACAddress(2), mtu: 1496, flags: up, kind: "vlan",
            vlan: .init(type: 0x8100, number: 7, lower: 2))
        let other = LinkState(
            index: 3, name: "eth2", address: MACAddress(3), mtu: 1500, flags: up, kind: "veth")
        let onOther = LinkState(
            index: 6, name: "eth2.7", address: MACAddress(3), mtu: 1500, flags: up, kind: "vlan",
            vlan: .init(type: 0x8100, number: 7, lower: 3))
        let links = [card, vlan, other, onOther]
        let expected: [UInt32: Egress] = [
            2: Egress(index: 2, name: "eth1", address: MACAddress(1), mtu: 1500),
            5: Egress(
                index: 2, name: "guests", address: MACAddress(2), mtu: 1496,
                tags: [VLANTag(type: 0x8100, number: 7)]),
        ]
        #expect(exits(on: ["eth1"], among: links) == expected)
        #expect(Set(exits(on: ["eth1", "eth2"], among: links).keys) == [2, 3, 5, 6])
        #expect(exits(on: ["eth2"], among: links)[3]?.turnaround == .redirect)

        let plane = FakePlane()
        let controller = try Controller(web(), on: plane, logger: noLogger)
        try await controller.start()
        _ = plane.takeSteps()
        await controller.take(exits: expected)
        #expect(plane.takeSteps() == [.setExits(expected)])
        await controller.take(exits: expected)
        #expect(plane.takeSteps() == [])
        var changed = expected
        changed[2]?.mtu = 9000
        changed[5] = nil
        await controller.take(exits: changed)
        #expect(plane.contents().exits == changed)
        #expect(plane.takeSteps().count == 2)
    }
}
