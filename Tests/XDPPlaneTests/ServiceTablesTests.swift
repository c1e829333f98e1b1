import BPF
import Balancing
import CDatapath
import Glibc
import Packets
import Testing

@testable import XDPPlane

/// What a configuration can say of a service, seen by packets in the real kernel.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct ServiceTablesTests {
    private func service(
        _ vip: String, _ ports: Ports = Ports(80), forwarding: Forwarding = .ipip,
        tunnel: Tunnel = Tunnel(), access: AccessList = AccessList(), backend: String? = nil,
        settings: VIP.Settings = VIP.Settings()
    ) throws -> Service {
        let vip = try prefix(vip)
        let backend = try address(
            backend ?? (vip.family == .v4 ? "192.0.2.101" : "2001:db8:5::101"))
        return Service(
            name: "web", vip: VIP(vip, settings: settings), ports: ports, forwarding: forwarding,
            tunnel: tunnel, access: access, healthCheck: nil,
            backends: [Backend(name: "a", address: backend)])
    }

    private func prefix(_ text: String) throws -> IPPrefix {
        let parts = text.split(separator: "/")
        let base = try address(String(parts[0]))
        return IPPrefix(of: base, length: parts.count == 2 ? Int(parts[1])! : base.family.bits)
    }

    private func frame(
        to vip: String, port: UInt16 = 80, from client: String? = nil
    ) throws -> Frame {
        var frame = Frame()
        frame.destination = try address(vip)
        let other = frame.destination.family == .v4 ? "198.51.100.7" : "2001:db8:1::7"
        frame.source = try address(client ?? other)
        frame.destinationPort = port
        return frame
    }

    @Test(
        arguments: ["192.0.2.100", "2001:db8::100"], ["192.0.2.101", "2001:db8::101"])
    func `gue puts the packet behind IP and UDP, and the flow into the source port`(
        vip: String, backend: String
    ) throws {
        var plane = try TestPlane()
        try plane.add(
            try service(
                vip, forwarding: .gue, tunnel: Tunnel(port: 7000), backend: backend))
        let isV4 = try address(backend).family == .v4
        let outerIP = isV4 ? 20 : 40
        var ports: Set<[UInt8]> = []
        for port in UInt16(1000)..<1020 {
            var inner = try frame(to: vip)
            inner.sourcePort = port
            let (verdict, result) = try plane.run(inner.bytes)
            #expect(verdict == "FORWARD_GUE")
            #expect(result.action == Action.transmit)
            let outer = Array(result.packet.dropFirst(14))
            #expect(outer[isV4 ? 9 : 6] == 17)
            let udp = Array(outer.dropFirst(outerIP).prefix(8))
            #expect(udp[0] >= 0xC0)
            #expect(Array(udp[2..<4]) == Frame.words(7000))
            #expect(Array(udp[4..<6]) == Frame.words(UInt16(8 + inner.packet.count)))
            #expect(Array(udp[6..<8]) == [0, 0])
            #expect(Array(outer.dropFirst(outerIP + 8)) == inner.packet)
            ports.insert(Array(udp[0..<2]))
        }
        #expect(ports.count > 10)
    }

    @Test func `the host bits of a tunnel's source come from the flow, and only those`() throws {
        var plane = try TestPlane()
        let tunnel = Tunnel(sources: [try prefix("172.16.32.0/20"), try prefix("2001:db8:9::/64")])
        try plane.add(try service("192.0.2.100", tunnel: tunnel))
        try plane.add(try service("2001:db8::100", tunnel: tunnel))
        for (vip, source, range) in [
            ("192.0.2.100", "172.16.32.0/20", 26..<30),
            ("2001:db8::100", "2001:db8:9::/96", 22..<38),
        ] {
            var sources: Set<IPAddress> = []
            for port in UInt16(1000)..<1050 {
                var inner = try frame(to: vip)
                inner.sourcePort = port
                let packet = try plane.run(inner.bytes).result.packet
                sources.insert(try #require(IPAddress(bytes: packet[range])))
            }
            let expected = try prefix(source)
            #expect(sources.allSatisfy(expected.contains))
            #expect(sources.count > 40)
        }
    }

    @Test(arguments: [0, 1, 2])
    func `a frame leaves with the tags of its interface, whatever it came with`(count: Int) throws {
        var plane = try TestPlane()
        var egress = TestPlane.egress
        let tags = [
            VLANTag(type: 0x88A8, number: 7), VLANTag(type: 0x8100, number: 4095),
        ].suffix(count)
        egress.tags = Array(tags)
        egress.name = (["lo"] + tags.map { "\($0.number)" }).joined(separator: ".")
        try plane.add(
            try service("192.0.2.100", forwarding: .l2DSR), egress: egress)
        var older = Frame()
        older.ttl -= 1
        for came in [[], [0x8100_0005], [0x88A8_0005, 0x8100_2006]] as [[UInt32]] {
            var frame = Frame()
            frame.tags = came
            let (verdict, result) = try plane.run(frame.bytes)
            #expect(verdict == "FORWARD_L2_DSR")
            older.tags = tags.map { UInt32($0.type) << 16 | UInt32($0.number) }
            #expect(result.packet.dropFirst(12) == older.bytes.dropFirst(12))
        }
        #expect(try plane.plane.contents() == plane.applied)
    }

    @Test func `each way has the MTU of its own route, by one interface and while that changes`()
        throws
    {
        var plane = try TestPlane()
        func largest(_ vip: String) throws -> Int {
            var found = 0
            for count in [1300, 1301, 1400, 1401, 1500, 1501] {
                var large = try frame(to: vip)
                large.payload = [UInt8](repeating: 0, count: count - 40)
                if try plane.run(large.bytes).verdict.hasPrefix("FORWARD") { found = count }
            }
            return found
        }
        func use(_ vip: String, _ routeMTU: UInt32?, egressMTU: UInt32 = 1500) throws {
            let service = try service(vip, forwarding: .l2DSR, backend: "192.0.2.201")
            var egress = TestPlane.egress
            egress.mtu = egressMTU
            var target = try plane.target(service, egress: egress)
            for index in target.backends.indices {
                target.backends[index].nextHop?.routeMTU = routeMTU
            }
            try plane.apply([target], others: .kept)
            #expect(try plane.plane.contents() == plane.applied)
        }
        try use("192.0.2.105", 1400)
        try use("192.0.2.106", nil)
        #expect(try largest("192.0.2.105") == 1400)
        #expect(try largest("192.0.2.106") == 1500)
        try use("192.0.2.105", 1300)
        #expect(try largest("192.0.2.105") == 1300)
        #expect(try largest("192.0.2.106") == 1500)
        try use("192.0.2.105", nil)
        #expect(try largest("192.0.2.105") == 1500)
    }

    @Test func `two VLANs of one card are two interfaces`() throws {
        var plane = try TestPlane()
        for number in [5, 6] as [UInt16] {
            var egress = TestPlane.egress
            egress.tags = [VLANTag(type: 0x8100, number: number)]
            try plane.add(
                try service("192.0.2.10\(number)", backend: "192.0.2.20\(number)"), egress: egress)
        }
        for number in [5, 6] as [UInt16] {
            let packet = try plane.run(try frame(to: "192.0.2.10\(number)").bytes).result.packet
            #expect(Array(packet[12..<16]) == [0x81, 0x00, 0, UInt8(number)])
        }
    }

    @Test(arguments: [
        (
            "203.0.113.0/28", ["203.0.113.0", "203.0.113.7", "203.0.113.15"],
            ["203.0.112.255", "203.0.113.16"]
        ),
        (
            "2001:db8:7::/64", ["2001:db8:7::", "2001:db8:7::ffff:ffff:ffff:ffff"],
            ["2001:db8:6:ffff::", "2001:db8:7:1::"]
        ),
        ("2001:db8:7::/124", ["2001:db8:7::", "2001:db8:7::f"], ["2001:db8:7::10"]),
    ])
    func `every address of a VIP is served, and its neighbours are not`(
        vip: String, inside: [String], outside: [String]
    ) throws {
        var plane = try TestPlane()
        try plane.add(try service(vip, Ports([80...80, 8000...8100])))
        for address in inside {
            for (port, verdict) in [
                (80, "FORWARD_IPIP"), (8000, "FORWARD_IPIP"), (8100, "FORWARD_IPIP"),
                (79, "PASS_VIP_PORT"), (81, "PASS_VIP_PORT"), (7999, "PASS_VIP_PORT"),
                (8101, "PASS_VIP_PORT"),
            ] as [(UInt16, String)] {
                #expect(try plane.run(try frame(to: address, port: port).bytes).verdict == verdict)
            }
        }
        for address in outside {
            #expect(try plane.run(try frame(to: address).bytes).verdict == "PASS_NO_SERVICE")
        }
        #expect(try plane.plane.contents() == plane.applied)
    }

    @Test func `a VIP inside another takes its packets, and gives them back when it goes`() throws {
        var plane = try TestPlane()
        let wide = try plane.target(try service("203.0.113.0/28", .any))
        let one = try plane.target(try service("203.0.113.5", Ports(80), forwarding: .gue))
        let find = { (plane: TestPlane) in
            try [80, 81].map {
                try plane.run(try self.frame(to: "203.0.113.5", port: $0).bytes).verdict
            }
        }
        try plane.apply([wide], others: .removed)
        #expect(try find(plane) == ["FORWARD_IPIP", "FORWARD_IPIP"])
        try plane.apply([wide, one], others: .removed)
        #expect(try find(plane) == ["FORWARD_GUE", "PASS_VIP_PORT"])
        try plane.apply([wide], others: .removed)
        #expect(try find(plane) == ["FORWARD_IPIP", "FORWARD_IPIP"])
    }

    @Test(arguments: [
        ("192.0.2.100", "10.0.0.0/8", "10.1.0.0/16", ["10.2.0.1", "10.1.0.1", "11.0.0.1"]),
        (
            "2001:db8::100", "2001:db8:1::/48", "2001:db8:1:1::/64",
            ["2001:db8:1::1", "2001:db8:1:1::1", "2001:db8:2::1"]
        ),
    ])
    func `the longest prefix decides whom a service lets in`(
        vip: String, wide: String, narrow: String, clients: [String]
    ) throws {
        var plane = try TestPlane()
        let (wide, narrow) = (try prefix(wide), try prefix(narrow))
        let lists: [([IPPrefix: AccessList.Rule], [Bool])] = [
            ([:], [true, true, true]),
            ([wide: .allow], [true, true, false]),
            ([wide: .allow, narrow: .deny], [true, false, false]),
            ([wide: .deny], [false, false, true]),
            ([wide: .deny, narrow: .allow], [false, true, false]),
            ([narrow: .deny], [true, false, true]),
            ([:], [true, true, true]),
        ]
        for (rules, allowed) in lists {
            let service = try service(vip, access: AccessList(rules))
            try plane.apply([try plane.target(service)], others: .removed)
            for (client, isAllowed) in zip(clients, allowed) {
                #expect(service.access.allows(try address(client)) == isAllowed)
                let verdict = try plane.run(try frame(to: vip, from: client).bytes).verdict
                #expect(
                    verdict == (isAllowed ? "FORWARD_IPIP" : "DROP_SOURCE_DENIED"),
                    "\(client), \(rules)")
            }
            #expect(try plane.plane.contents() == plane.applied)
        }
    }

    @Test(arguments: ["192.0.2.100", "2001:db8::100"])
    func `a VIP answers pings and drops other ports as it is told`(vip: String) throws {
        var plane = try TestPlane()
        var echo = try frame(to: vip)
        let isV4 = echo.destination.family == .v4
        echo.transport = isV4 ? 1 : 58
        echo.payload = [isV4 ? 8 : 128, 0, 0, 0, 0, 0, 0, 0]
        for (settings, ping, other) in [
            (VIP.Settings(), "REPLY_ECHO", "PASS_VIP_PORT"),
            (.init(ping: .kernel), "PASS_ICMP", "PASS_VIP_PORT"),
            (.init(otherPorts: .drop), "REPLY_ECHO", "DROP_VIP_PORT"),
        ] {
            let service = try service(vip, settings: settings)
            try plane.apply([try plane.target(service)], others: .removed)
            #expect(try plane.run(echo.bytes).verdict == ping)
            #expect(try plane.run(try frame(to: vip, port: 81).bytes).verdict == other)
            #expect(try plane.plane.contents() == plane.applied)
        }
    }

    @Test func `the filter has the bit of every VIP's address, and loses those of removed ones`()
        throws
    {
        var plane = try TestPlane()
        let filter = try MappedArray<UInt64>(plane.plane.tables.vipFilter)
        let bits = { (0..<filter.count).reduce(0) { $0 + filter[$1].nonzeroBitCount } }
        let block = try plane.target(try service("203.0.113.0/28", .any))
        let other = try plane.target(try service("2001:db8::100"))
        try plane.apply([block, other], others: .removed)
        #expect(bits() == 17)
        try plane.apply([other], others: .removed)
        #expect(bits() == 1)
        #expect(
            try plane.run(try frame(to: "2001:db8::100", port: 81).bytes).verdict
                == "PASS_VIP_PORT")
        try plane.apply(
            [other, try plane.target(try service("2001:db8:7::/64"))], others: .removed)
        #expect(bits() == 1 << 16)
        try plane.apply([], others: .removed)
        #expect(bits() == 0)
        #expect(try plane.plane.contents() == PlaneContents())
    }

    @Test func `flows are counted by their first packets`() throws {
        var plane = try TestPlane()
        try plane.add(try service("192.0.2.100"))
        var frame = Frame()
        frame.sourcePort = 5000
        for _ in 0..<3 { _ = try plane.run(frame.bytes) }
        let counters = try plane.plane.counters()
        #expect(counters.services.values.map(\.flows) == [3])
        #expect(counters.backends.values.map(\.flows) == [3])
    }
}

extension ServiceTablesTests {
    @Test func `every port of a VIP is as good as one, and leaves nothing behind`() throws {
        var plane = try TestPlane()
        let all = try plane.target(try service("192.0.2.100", Ports([1...65535])))
        try plane.apply([all], others: .removed)
        #expect(try plane.plane.contents() == plane.applied)
        for port in [1, 32768, 65535] as [UInt16] {
            let packet = try frame(to: "192.0.2.100", port: port).bytes
            #expect(try plane.run(packet).verdict == "FORWARD_IPIP")
        }
        // There is no room for as many again: what nobody wants any more goes first.
        let others = try plane.target(try service("192.0.2.102", Ports([1...65535])))
        try plane.apply([others], others: .removed)
        #expect(
            try plane.run(try frame(to: "192.0.2.100", port: 1).bytes).verdict
                == "PASS_NO_SERVICE")
        #expect(
            try plane.run(try frame(to: "192.0.2.102", port: 1).bytes).verdict == "FORWARD_IPIP")
        try plane.apply([], others: .removed)
        #expect(try plane.plane.contents() == PlaneContents())
    }

    @Test func `a plan reckons with the room that there is`() {
        let capacity = Plan.Capacity()
        #expect(capacity.services == MARTLET_SERVICE_LIMIT.rawValue)
        #expect(UInt32(capacity.backends) == MARTLET_BACKEND_LIMIT.rawValue)
        #expect(capacity.keys == Int(MARTLET_SERVICE_KEY_LIMIT.rawValue))
        #expect(capacity.vips == Int(MARTLET_VIP_LIMIT.rawValue))
        #expect(capacity.rules == Int(MARTLET_ACCESS_LIMIT.rawValue))
        #expect(Egress.tagLimit == Int(MARTLET_VLAN_LIMIT.rawValue))
    }
}

/// What does not depend on a packet.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"))
struct SettingsTests {
    @Test func `how replies leave is said without forgetting the hash key`() throws {
        let plane = try TestPlane().plane
        let before = try #require(try plane.tables.settings.value(for: 0))
        #expect(before.hash_key != (0, 0))
        let flag = MARTLET_SETTING_REDIRECT_REPLIES.rawValue
        for isRedirected in [true, false] {
            try redirectReplies(isRedirected, by: plane.tables.settings)
            let after = try #require(try plane.tables.settings.value(for: 0))
            #expect(after.flags & flag == (isRedirected ? flag : 0))
            #expect(after.hash_key == before.hash_key)
            #expect(after.abi == before.abi)
        }
    }

    @Test func `loopback is no veth`() throws {
        #expect(try includeVeth([XDPHook(on: "lo")]) == false)
    }
}
