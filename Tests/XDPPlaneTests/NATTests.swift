import BPF
import Balancing
import CDatapath
import Glibc
import Packets
import Testing

@testable import XDPPlane

/// `nat` and `full-nat`: what the tables say, and what packets make of it in the real kernel.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct NATTests {
    /// The addresses of one family.
    struct Family: Sendable, CustomTestStringConvertible {
        let vip: String
        let client: String
        let backends: [String]
        /// Those that `full-nat` sends from.
        let ours: [String]

        var testDescription: String { vip }
    }

    static let families = [
        Family(
            vip: "192.0.2.100", client: "198.51.100.7", backends: ["10.0.0.1", "10.0.0.2"],
            ours: ["203.0.113.10", "203.0.113.11", "203.0.113.12"]),
        Family(
            vip: "2001:db8::100", client: "2001:db8:1::7",
            backends: ["2001:db8:5::1", "2001:db8:5::2"],
            ours: ["2001:db8:9::10", "2001:db8:9::11", "2001:db8:9::12"]),
    ]

    private func service(
        _ family: Family, _ forwarding: Forwarding, _ transport: Transport = .tcp,
        ports: Ports = Ports(80), backendPort: UInt16? = 8080
    ) throws -> Service {
        Service(
            name: "web", vip: VIP(try address(family.vip)), ports: ports, transport: transport,
            forwarding: forwarding, healthCheck: nil,
            backends: try family.backends.map {
                Backend(name: $0, address: try address($0), port: backendPort)
            })
    }

    /// SYN of a client, or a datagram.
    private func question(
        _ family: Family, _ transport: Transport = .tcp, port: UInt16 = 80,
        from source: UInt16 = 41000
    ) throws -> [UInt8] {
        var frame = Frame()
        frame.source = try address(family.client)
        frame.destination = try address(family.vip)
        frame.sourcePort = source
        frame.destinationPort = port
        frame.transport = transport.rawValue
        return checksummed(frame.bytes)
    }

    /// What a backend answers to a packet that it got.
    private func answer(to ends: Ends, _ transport: Transport = .tcp) throws -> [UInt8] {
        var frame = Frame()
        frame.source = try #require(ends.destination)
        frame.destination = try #require(ends.source)
        frame.sourcePort = ends.destinationPort
        frame.destinationPort = ends.sourcePort
        frame.transport = transport.rawValue
        frame.ttl = 64
        return checksummed(frame.bytes)
    }

    /// A plane with one service, NAT addresses and a way out for answers.
    private func plane(
        _ family: Family, _ forwarding: Forwarding, _ transport: Transport = .tcp,
        ports: Ports = Ports(80), backendPort: UInt16? = 8080
    ) throws -> TestPlane {
        var plane = try TestPlane()
        let service = try service(
            family, forwarding, transport, ports: ports, backendPort: backendPort)
        let ours = forwarding == .fullNAT ? Array(family.ours.prefix(1)) : []
        try plane.apply(
            [try plane.target(service)], others: .removed,
            pool: Plan.Pool(addresses: try ours.map(address), use: NATUse()))
        try plane.apply(Plan(from: plane.applied, toExits: [TestPlane.loopback: TestPlane.egress]))
        #expect(try plane.plane.contents() == plane.applied)
        return plane
    }

    private func settings(_ plane: TestPlane) throws -> UInt32 {
        let all = MARTLET_SETTING_NAT_RETURNS.rawValue | MARTLET_SETTING_NAT_ADDRESSES.rawValue
        return try #require(try plane.plane.tables.settings.value(for: 0)).flags & all
    }

    @Test(arguments: families, [Transport.tcp, .udp])
    func `nat gives a packet the backend's address and port, and right checksums`(
        family: Family, transport: Transport
    ) throws {
        let plane = try plane(family, .nat, transport)
        var backends: Set<IPAddress?> = []
        for port in 41000..<41020 as Range<UInt16> {
            let (verdict, result) = try plane.run(try question(family, transport, from: port))
            #expect(verdict == "FORWARD_NAT")
            #expect(result.action == Action.transmit)
            let ends = Ends(result.packet)
            backends.insert(ends.destination)
            #expect(
                ends
                    == Ends(
                        family.client, port, "\(try #require(ends.destination))", 8080, ttl: 62))
            #expect(hasRightChecksums(result.packet))
        }
        #expect(backends == Set(try family.backends.map(address)))
        #expect(try settings(plane) == MARTLET_SETTING_NAT_RETURNS.rawValue)
    }

    @Test(arguments: families)
    func `ports of clients and services stay where the backend has none of its own`(family: Family)
        throws
    {
        for mode in [Forwarding.nat, .fullNAT] {
            for ports in [Ports.any, Ports([80...80, 8000...8003])] {
                let plane = try plane(family, mode, ports: ports, backendPort: nil)
                for port in [80, 8003] as [UInt16] {
                    let packet = try plane.run(try question(family, port: port)).result.packet
                    #expect(Ends(packet).destinationPort == port)
                }
            }
        }
    }

    @Test(arguments: families, [Transport.tcp, .udp])
    func `full-nat sends from an address of ours, and the answer goes back to the client`(
        family: Family, transport: Transport
    ) throws {
        let plane = try plane(family, .fullNAT, transport)
        #expect(try settings(plane) == MARTLET_SETTING_NAT_ADDRESSES.rawValue)
        var places: Set<UInt16> = []
        for port in 41000..<41020 as Range<UInt16> {
            let out = try plane.run(
                try question(family, transport, from: port), from: TestPlane.loopback)
            #expect(out.verdict == "FORWARD_FULL_NAT")
            #expect(hasRightChecksums(out.result.packet))
            let ends = Ends(out.result.packet)
            #expect("\(try #require(ends.source))" == family.ours[0])
            #expect(ends.sourcePort >= 1024)
            #expect(ends.destinationPort == 8080)
            places.insert(ends.sourcePort)

            let back = try plane.run(
                try answer(to: ends, transport), from: TestPlane.loopback)
            #expect(back.verdict == "FORWARD_RETURN")
            #expect(hasRightChecksums(back.result.packet))
            #expect(
                Ends(back.result.packet) == Ends(family.vip, 80, family.client, port, ttl: 63))
            // To the MAC address that the client's packet came from.
            #expect(
                Array(back.result.packet.prefix(12)) == [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0xAA])
        }
        #expect(places.count == 20)
        // Somebody else's packets to the same ports are nobody's answers.
        var stranger = Ends("10.99.0.1", 8080, family.ours[0], try #require(places.first), ttl: 64)
        stranger.source = try address(family.client)
        swap(&stranger.source, &stranger.destination)
        swap(&stranger.sourcePort, &stranger.destinationPort)
        #expect(
            try plane.run(try answer(to: stranger, transport)).verdict == "PASS_NAT_ADDRESS")
    }

    @Test(arguments: families)
    func `a restart and other NAT addresses cut no flow, and the last one takes its table along`(
        family: Family
    ) throws {
        var plane = try plane(family, .fullNAT)
        let target = try plane.target(try service(family, .fullNAT))
        let ours = try family.ours.map(address)
        let clients = 41000..<41100 as Range<UInt16>
        var places: [UInt16: Ends] = [:]
        for port in clients {
            places[port] = Ends(
                try plane.run(
                    try question(family, from: port), from: TestPlane.loopback
                ).result.packet)
        }
        #expect(try openFlows(plane) == 100)
        for addresses in [[ours[0], ours[1]], [ours[1]], [ours[2]], [ours[2], ours[0]]] {
            let use = try plane.plane.natUse(at: Set(plane.applied.pool.addresses.keys))
            let pool = Plan.Pool(addresses: addresses, use: use)
            try plane.apply([target], others: .removed, pool: pool)
            #expect(try plane.plane.contents() == plane.applied)
            var found = 0
            for port in clients {
                let packet = try plane.run(
                    try later(try question(family, from: port)), from: TestPlane.loopback)
                guard packet.verdict == "FORWARD_FULL_NAT" else { continue }
                #expect(Ends(packet.result.packet) == places[port])
                found += 1
                let back = try plane.run(
                    try answer(to: Ends(packet.result.packet)), from: TestPlane.loopback)
                #expect(back.verdict == "FORWARD_RETURN")
            }
            // All of them: their shares have memory for one address, and it is theirs.
            #expect(found == 100, "\(addresses)")
            #expect(try openFlows(plane) == 100)
        }
        try plane.apply([], others: .removed, pool: Plan.Pool(addresses: [], use: NATUse()))
        try plane.apply([], others: .removed, pool: Plan.Pool(addresses: [], use: NATUse()))
        #expect(plane.applied.pool == NATPool())
        #expect(try plane.plane.contents() == plane.applied)
        #expect(try settings(plane) == 0)
    }

    @Test(arguments: families)
    func `who takes over keeps addresses with their flows, and removes what is half made`(
        family: Family
    ) throws {
        let plane = try plane(family, .fullNAT)
        _ = try plane.run(try question(family), from: TestPlane.loopback)
        let flags = try settings(plane)
        // Killed before the source was written, and after it was taken away.
        let table = try Map<UInt32, martlet_nat_bucket>(
            creating: .array, named: "nat_table", capacity: Int(MARTLET_NAT_BUCKETS.rawValue),
            flags: .mappable)
        try plane.plane.tables.natTables.set(inner: table, for: 9)
        let stray = martlet_address(mapping: try address(family.ours[1]))
        try plane.plane.tables.natAddresses.set(9, for: stray)
        try plane.plane.tables.natTables.set(inner: table, for: 8)
        try setFlag(MARTLET_SETTING_NAT_RETURNS, true, in: plane.plane.tables.settings)

        try plane.plane.removeLeftoversOfNAT()
        #expect(try plane.plane.tables.natTables.value(for: 9) == nil)
        #expect(try plane.plane.tables.natTables.value(for: 8) == nil)
        #expect(try plane.plane.tables.natAddresses.value(for: stray) == nil)
        #expect(try settings(plane) == flags)
        #expect(try plane.plane.contents() == plane.applied)
        #expect(try openFlows(plane) == 1)
        let packet = try later(try question(family))
        #expect(try plane.run(packet, from: TestPlane.loopback).verdict == "FORWARD_FULL_NAT")
    }

    /// The same frame with ACK instead of SYN.
    private func later(_ frame: [UInt8]) throws -> [UInt8] {
        var frame = frame
        frame[14 + (frame[14] >> 4 == 4 ? 20 : 40) + 13] = 0x10
        return checksummed(frame)
    }

    private func openFlows(_ plane: TestPlane) throws -> Int {
        let use = try plane.plane.natUse(at: Set(plane.applied.pool.addresses.keys))
        return plane.applied.pool.addresses.keys.reduce(0) { sum, id in
            sum + (0..<NATPool.shareCount).reduce(0) { $0 + use.flows(at: id, share: $1) }
        }
    }

    @Test(arguments: families)
    func `flows are counted where their shares have them, and nowhere else`(family: Family)
        throws
    {
        var plane = try plane(family, .fullNAT)
        let target = try plane.target(try service(family, .fullNAT))
        try plane.apply(
            [target], others: .removed,
            pool: Plan.Pool(addresses: try family.ours.map(address), use: NATUse()))
        for port in 41000..<41500 as Range<UInt16> {
            _ = try plane.run(try question(family, from: port))
        }
        let use = try plane.plane.natUse(at: Set(plane.applied.pool.addresses.keys))
        let shares = plane.applied.pool[try address(family.vip).family]
        for id in plane.applied.pool.addresses.keys {
            for share in shares.indices where use.flows(at: id, share: share) > 0 {
                #expect(shares[share].owner == id)
            }
        }
        #expect(try openFlows(plane) == 500)
    }

    @Test func `a table's words are read as the data path reads them`() {
        let now: UInt32 = 1000
        let word = { (state: martlet_nat_state, used: UInt32) in
            UInt64(0xABCD) << 32 | UInt64(used) << 3 | UInt64(state.rawValue)
        }
        // RFC 5382 §5 and RFC 4787 §4.3, in units of 2^30 ns.
        let limits: [(martlet_nat_state, UInt32)] = [
            (MARTLET_NAT_MAKING, 30), (MARTLET_NAT_OPENING, 30), (MARTLET_NAT_ANSWERED, 60),
            (MARTLET_NAT_ESTABLISHED, 7440), (MARTLET_NAT_CLOSING, 240),
            (MARTLET_NAT_ASKING, 300), (MARTLET_NAT_TALKING, 300),
        ]
        #expect(!isOpen(0, now))
        for (state, limit) in limits {
            #expect(isOpen(word(state, now), now))
            #expect(isOpen(word(state, now), now + limit))
            #expect(!isOpen(word(state, now), now + limit + 1))
            // The clock has 29 bits.
            #expect(isOpen(word(state, (1 << 29) - 1), limit - 1))
            #expect(!isOpen(word(state, (1 << 29) - 1), limit))
            // Another CPU may have read the clock later.
            #expect(isOpen(word(state, now + 1), now))
            #expect(natShare(word(state, now)) == 0xCD)
        }
    }

    @Test(arguments: families)
    func `a nat service can become full-nat and any other mode, and leaves nothing behind`(
        family: Family
    ) throws {
        var plane = try plane(family, .nat)
        let pool = Plan.Pool(addresses: [try address(family.ours[0])], use: NATUse())
        let verdicts: [(Forwarding, String)] = [
            (.fullNAT, "FORWARD_FULL_NAT"), (.nat, "FORWARD_NAT"), (.l2DSR, "FORWARD_L2_DSR"),
            (.fullNAT, "FORWARD_FULL_NAT"), (.gue, "FORWARD_GUE"), (.nat, "FORWARD_NAT"),
        ]
        for (mode, verdict) in verdicts {
            let port: UInt16? = mode.isTranslation ? 8080 : nil
            let target = try plane.target(try service(family, mode, backendPort: port))
            try plane.apply([target], others: .removed, pool: pool)
            #expect(try plane.plane.contents() == plane.applied)
            #expect(plane.applied.services.count == 1)
            #expect(plane.applied.backends.count == 2)
            #expect(plane.applied.returns.count == (mode == .nat ? 2 : 0))
            #expect(try plane.run(try question(family)).verdict == verdict)
            let flag = MARTLET_SETTING_NAT_RETURNS.rawValue
            #expect(try settings(plane) & flag == (mode == .nat ? flag : 0))
        }
    }

    @Test func `an exit keeps its number while its address and size change, and goes`() throws {
        var plane = try TestPlane()
        var egress = TestPlane.egress
        let number = { (plane: TestPlane, index: UInt32) in
            try plane.plane.tables.egressNumbers.value(for: index)
        }
        var vlan = egress
        vlan.tags = [VLANTag(type: 0x8100, number: 5)]
        vlan.name = "lo.5"
        try plane.apply(Plan(from: plane.applied, toExits: [1: egress, 7: vlan]))
        let numbers = try [1, 7].map { try number(plane, $0) }
        #expect(Set(numbers).count == 2)
        egress.mtu = 9000
        egress.address = MACAddress(0x02_0000_0000_CC)
        let plan = Plan(from: plane.applied, toExits: [1: egress, 7: vlan])
        #expect(plan.steps == [.setExits([1: egress])])
        try plane.apply(plan)
        #expect(try [1, 7].map { try number(plane, $0) } == numbers)
        #expect(try plane.plane.contents() == plane.applied)
        try plane.apply(Plan(from: plane.applied, toExits: [7: vlan]))
        #expect(try number(plane, 1) == nil)
        #expect(try plane.plane.contents() == plane.applied)
    }

    @Test func `there is room for what a plan counts on`() {
        #expect(Plan.Capacity().returns == Int(MARTLET_NAT_RETURN_LIMIT.rawValue))
        #expect(UInt32(Plan.Capacity().natAddresses) == MARTLET_NAT_ADDRESS_LIMIT.rawValue)
        #expect(NATPool.shareCount == Int(MARTLET_NAT_SHARES.rawValue))
    }
}
