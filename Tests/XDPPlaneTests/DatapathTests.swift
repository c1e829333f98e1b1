import BPF
import Balancing
import Glibc
import Packets
import Testing

@testable import XDPPlane

/// The program runs in the real kernel, on packets built here.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct DatapathTests {
    static let families = [("192.0.2.100", "198.51.100.7"), ("2001:db8::100", "2001:db8:1::7")]

    private func frame(_ family: (vip: String, client: String)) throws -> Frame {
        var frame = Frame()
        frame.destination = try address(family.vip)
        frame.source = try address(family.client)
        return frame
    }

    @Test(arguments: families)
    func `l2-dsr rewrites the MAC addresses, counts the hop, and nothing else`(
        vip: String, client: String
    ) throws {
        var plane = try TestPlane()
        let backend = vip.contains(":") ? "2001:db8::101" : "192.0.2.101"
        try plane.add(vip: vip, port: 80, forwarding: .l2DSR, backends: [backend])
        let frame = try frame((vip, client))
        var older = frame
        older.ttl -= 1
        let packet = older.bytes
        let (verdict, result) = try plane.run(frame.bytes)
        #expect(verdict == "FORWARD_L2_DSR")
        #expect(result.action == Action.transmit)
        #expect(Array(result.packet.prefix(12)) == [2, 0, 0, 0, 0, 0xBB, 2, 0, 0, 0, 0, 0xAA])
        #expect(result.packet.dropFirst(12) == packet.dropFirst(12))
    }

    @Test(arguments: families, ["192.0.2.101", "2001:db8::101"])
    func `ipip puts the packet unchanged behind a right outer header, in all combinations`(
        family: (vip: String, client: String), backend: String
    ) throws {
        var plane = try TestPlane()
        try plane.add(vip: family.vip, port: 80, forwarding: .ipip, backends: [backend])
        var inner = try frame(family)
        inner.trafficClass = 0xB9  // DSCP EF and ECN CE, which the outer header copies
        let (verdict, result) = try plane.run(inner.bytes + [0, 0, 0])  // three bytes of padding
        #expect(verdict == "FORWARD_IPIP")
        #expect(result.action == Action.transmit)

        let outer = Array(result.packet.dropFirst(14))
        let destination = try address(backend)
        let isInnerV4 = inner.destination.family == .v4
        if destination.family == .v4 {
            #expect(Array(result.packet[12..<14]) == [0x08, 0x00])
            #expect(internetChecksum(Array(outer.prefix(20))) == 0)
            #expect(Array(outer[0..<2]) == [0x45, 0xB9])
            #expect(Array(outer[2..<4]) == Frame.words(UInt16(20 + inner.packet.count)))
            #expect(outer[6] == 0x40, "don't fragment")
            #expect(outer[9] == (isInnerV4 ? 4 : 41))
            #expect(Array(outer[12..<16]) == (try address("192.0.2.1")).bytes)
            #expect(Array(outer[16..<20]) == destination.bytes)
            #expect(Array(outer.dropFirst(20).prefix(inner.packet.count)) == inner.packet)
        } else {
            #expect(Array(result.packet[12..<14]) == [0x86, 0xDD])
            #expect(outer[0] == 0x6B)
            #expect(outer[1] & 0xF0 == 0x90, "the rest is the flow label")
            #expect(Array(outer[4..<6]) == Frame.words(UInt16(inner.packet.count)))
            #expect(outer[6] == (isInnerV4 ? 4 : 41))
            #expect(Array(outer[8..<24]) == (try address("2001:db8::1")).bytes)
            #expect(Array(outer[24..<40]) == destination.bytes)
            #expect(Array(outer.dropFirst(40).prefix(inner.packet.count)) == inner.packet)
        }
    }

    @Test func `a packet for another interface is redirected`() throws {
        var plane = try TestPlane()
        try plane.add(
            vip: "192.0.2.100", port: 80, forwarding: .l2DSR, backends: ["192.0.2.101"],
            egress: 4000)
        #expect(try plane.run(Frame().bytes).result.action == Action.redirect)
    }

    @Test func `the exact port comes first, then any port, for each protocol by itself`() throws {
        var plane = try TestPlane()
        try plane.add(vip: "192.0.2.100", port: 80, forwarding: .l2DSR, backends: ["192.0.2.101"])
        try plane.add(vip: "192.0.2.100", port: nil, forwarding: .ipip, backends: ["192.0.2.102"])
        var frame = Frame()
        #expect(try plane.run(frame.bytes).verdict == "FORWARD_L2_DSR")
        frame.destinationPort = 81
        #expect(try plane.run(frame.bytes).verdict == "FORWARD_IPIP")
        frame.transport = 17
        #expect(try plane.run(frame.bytes).verdict == "PASS_VIP_PORT")
        try plane.add(
            vip: "192.0.2.100", port: 81, transport: .udp, forwarding: .l2DSR,
            backends: ["192.0.2.103"])
        #expect(try plane.run(frame.bytes).verdict == "FORWARD_L2_DSR")
    }

    @Test func `every verdict is given to the packet that deserves it`() throws {
        var plane = try TestPlane()
        let add = {
            (plane: inout TestPlane, port: UInt16, serves: Bool, hop: UInt32?, mtu: UInt32) in
            try plane.add(
                vip: "192.0.2.100", port: port, forwarding: .ipip, backends: ["192.0.2.101"],
                serves: serves, egress: hop, mtu: mtu)
        }
        try add(&plane, 80, true, 1, 1500)
        try add(&plane, 81, false, 1, 1500)
        try add(&plane, 82, true, nil, 1500)
        func to(_ port: UInt16) -> [UInt8] {
            var frame = Frame()
            frame.destinationPort = port
            return frame.bytes
        }
        func changed(_ offset: Int, _ values: UInt8...) -> [UInt8] {
            var bytes = to(80)
            bytes.replaceSubrange(offset..<offset + values.count, with: values)
            return bytes
        }
        func like(_ change: (inout Frame) -> Void) -> [UInt8] {
            var frame = Frame()
            change(&frame)
            return frame.bytes
        }
        let echo: [UInt8] = [8, 0, 0xF7, 0xFF, 0, 0, 0, 0]
        let quoted = { (port: UInt16) -> [UInt8] in
            var quote = Frame()
            (quote.source, quote.destination) = (quote.destination, quote.source)
            (quote.sourcePort, quote.destinationPort) = (port, quote.sourcePort)
            return [3, 4, 0, 0, 0, 0, 5, 0] + quote.packet.prefix(28)
        }
        let largest = 1500 - 20 - 20 - 20
        let other = try address("198.51.100.9")
        let v6 = try frame((vip: "2001:db8::100", client: "2001:db8::7"))
        func extended(_ headers: [UInt8], first: UInt8) -> [UInt8] {
            var frame = v6
            (frame.transport, frame.payload) = (first, headers + v6.segment)
            return frame.bytes
        }
        let quotedFragment = { (offset: UInt8) -> [UInt8] in
            var quote = v6
            (quote.source, quote.destination) = (quote.destination, quote.source)
            (quote.sourcePort, quote.destinationPort) = (80, quote.sourcePort)
            (quote.transport, quote.payload) = (44, [6, 0, 0, offset, 0, 0, 0, 1] + quote.segment)
            var error = v6
            error.transport = 58
            error.payload = [2, 0, 0, 0, 0, 0, 5, 0] + quote.packet.prefix(56)
            return error.bytes
        }
        let empty: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0]
        try plane.add(
            vip: "2001:db8::100", port: 80, forwarding: .l2DSR, backends: ["2001:db8::101"])
        let table: [(String, UInt32, [UInt8])] = [
            ("FORWARD_IPIP", Action.transmit, to(80)),
            ("FORWARD_IPIP", Action.transmit, like { $0.options = [1, 1, 1, 0] }),
            ("FORWARD_IPIP", Action.transmit, like { $0.tags = [0x8100_0005] }),
            ("FORWARD_IPIP", Action.transmit, like { $0.tags = [0x88A8_0005, 0x8100_0006] }),
            ("FORWARD_IPIP", Action.transmit, like { $0.ttl = 1 }),
            (
                "FORWARD_IPIP", Action.transmit,
                like { $0.payload = Array(repeating: 0, count: largest) }
            ),
            (
                "REPLY_TOO_BIG", Action.transmit,
                like { $0.payload = Array(repeating: 0, count: largest + 1) }
            ),
            ("PASS_NOT_IP", Action.pass, changed(12, 0x08, 0x06)),
            (
                "PASS_NOT_IP", Action.pass,
                like { $0.tags = [0x8100_0005, 0x8100_0006, 0x8100_0007] }
            ),
            ("REPLY_ECHO", Action.transmit, like { ($0.transport, $0.payload) = (1, echo) }),
            (
                "PASS_ICMP", Action.pass,
                like { ($0.transport, $0.payload) = (1, [0] + echo.dropFirst()) }
            ),
            (
                "FORWARD_IPIP", Action.transmit,
                like { ($0.transport, $0.payload) = (1, quoted(80)) }
            ),
            ("PASS_ICMP", Action.pass, like { ($0.transport, $0.payload) = (1, quoted(8080)) }),
            ("FORWARD_L2_DSR", Action.transmit, quotedFragment(1)),
            ("PASS_ICMP", Action.pass, quotedFragment(8)),
            ("DROP_TUNNEL", Action.drop, like { ($0.transport, $0.payload) = (4, []) }),
            ("PASS_VIP_PROTOCOL", Action.pass, like { ($0.transport, $0.payload) = (132, []) }),
            ("DROP_FRAGMENT", Action.drop, like { $0.fragment = 0x0003 }),
            ("DROP_FRAGMENT_OVERLAP", Action.drop, like { $0.fragment = 0x0002 }),
            ("FORWARD_IPIP", Action.transmit, like { $0.fragment = 0x2000 }),
            ("FORWARD_IPIP", Action.transmit, like { $0.fragment = 0x0003 }),
            ("FORWARD_L2_DSR", Action.transmit, extended([6, 0] + empty.dropFirst(2), first: 0)),
            (
                "DROP_SOURCE_ROUTED", Action.drop,
                extended([6, 0, 0, 1] + empty.dropFirst(4), first: 43)
            ),
            (
                "DROP_EXTENSIONS", Action.drop,
                extended(
                    (0..<5).flatMap { [$0 == 4 ? 6 : 60, 0] + empty.dropFirst(2) }, first: 60)
            ),
            (
                "DROP_EXPIRED", Action.drop,
                {
                    var frame = v6
                    frame.ttl = 1
                    return frame.bytes
                }()
            ),
            ("DROP_MARTIAN", Action.drop, like { $0.source = $0.destination }),
            ("PASS_VIP_PORT", Action.pass, to(8080)),
            ("PASS_NO_SERVICE", Action.pass, like { $0.destination = other }),
            ("DROP_NO_BACKEND", Action.drop, to(81)),
            ("DROP_NO_NEXT_HOP", Action.drop, to(82)),
            ("DROP_MALFORMED", Action.drop, changed(14, 0x44)),
            ("DROP_MALFORMED", Action.drop, changed(14, 0x55)),
            ("DROP_MALFORMED", Action.drop, changed(16, 0, 19)),
            ("DROP_MALFORMED", Action.drop, changed(46, 0x40)),
            ("DROP_MALFORMED", Action.drop, changed(46, 0xF0)),
            ("DROP_TRUNCATED", Action.drop, changed(16, 0x05, 0xDC)),
            ("DROP_TRUNCATED", Action.drop, changed(16, 0, 39)),
        ]
        for (verdict, action, packet) in table {
            let (found, result) = try plane.run(packet)
            #expect(found == verdict)
            #expect(result.action == action, "\(verdict)")
        }
    }

    @Test func `a buffer without room in front of the frame is a verdict of its own`() throws {
        var plane = try TestPlane()
        try plane.add(vip: "192.0.2.100", port: 80, forwarding: .ipip, backends: ["2001:db8::101"])
        let metadata = 252  // the most that a kernel since 6.8 takes; older ones refuse it
        let packet = Array(repeating: 0, count: metadata) + Frame().bytes
        do {
            let (verdict, result) = try plane.run(packet, metadata: metadata)
            #expect(["DROP_NO_ROOM", "FORWARD_IPIP"].contains(verdict))
            #expect(result.action == (verdict == "DROP_NO_ROOM" ? Action.drop : Action.transmit))
        } catch let error as Failure {
            #expect(error.code == EINVAL, "older kernels take 32 bytes of metadata at most")
        }
    }

    @Test func `tables that contradict each other drop the packet`() throws {
        var plane = try TestPlane()
        try plane.add(vip: "192.0.2.100", port: 80, forwarding: .ipip, backends: ["192.0.2.101"])
        let backend = try #require(plane.applied.backends.keys.first)
        try plane.plane.apply(.removeBackend(backend))
        #expect(try plane.run(Frame().bytes).verdict == "DROP_BROKEN_TABLE")
    }

    @Test(arguments: families, [6, 17] as [UInt8])
    func `a packet cut short at any byte of its headers is never forwarded`(
        family: (vip: String, client: String), transport: UInt8
    ) throws {
        var plane = try TestPlane()
        let proto: Transport = transport == 6 ? .tcp : .udp
        try plane.add(
            vip: family.vip, port: nil, transport: proto, forwarding: .ipip,
            backends: ["192.0.2.101"])
        var whole = try frame(family)
        whole.transport = transport
        whole.payload = []
        for length in 14..<whole.bytes.count {
            let (verdict, result) = try plane.run(Array(whole.bytes.prefix(length)))
            #expect(verdict == "DROP_TRUNCATED", "\(length) bytes")
            #expect(result.action == Action.drop)
        }
        #expect(try plane.run(whole.bytes).verdict == "FORWARD_IPIP")
    }

    @Test func `flows spread over the backends by their slots, and each keeps its backend`() throws
    {
        var plane = try TestPlane()
        let names = (101...104).map { "192.0.2.\($0)" }
        try plane.add(vip: "192.0.2.100", port: 80, forwarding: .ipip, backends: names)
        var frame = Frame()
        var seen: [[UInt8]: Int] = [:]
        for port in UInt16(1000)..<2000 {
            frame.sourcePort = port
            let first = try plane.plane.program.run(on: frame.bytes).packet[30..<34]
            let second = try plane.plane.program.run(on: frame.bytes).packet[30..<34]
            #expect(first == second)
            seen[Array(first), default: 0] += 2
        }
        #expect(seen.count == 4)
        let counters = try plane.plane.counters()
        for (id, backend) in plane.applied.backends {
            // 1,000 flows over 4 backends: 500 packets each, give or take seven deviations.
            let count = try #require(seen[backend.address.bytes])
            #expect(abs(count - 500) < 200)
            #expect(counters.backends[id]?.packets == UInt64(count))
        }
        #expect(counters.services.values.map(\.packets) == [2000])
        #expect(counters.services.values.map(\.bytes) == [UInt64(2000 * frame.bytes.count)])
    }

    @Test func `what was applied is what the plane says it holds`() throws {
        var plane = try TestPlane()
        try plane.add(
            vip: "192.0.2.100", port: 80, forwarding: .ipip,
            backends: ["192.0.2.101", "2001:db8::101"])
        try plane.add(
            vip: "2001:db8::100", port: nil, transport: .udp, forwarding: .l2DSR,
            backends: ["2001:db8::102"], egress: nil)
        let contents = try plane.plane.contents()
        #expect(contents == plane.applied)
        for step in try Plan(from: contents, to: [], others: .removed).steps {
            try plane.plane.apply(step)
        }
        #expect(try plane.plane.contents() == PlaneContents())
    }
}
