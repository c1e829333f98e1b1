import BPF
import Balancing
import CDatapath
import Glibc
import Packets
import Testing

@testable import XDPPlane

/// The other end of the tunnel, in the real kernel.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"))
struct DecapsulationTests {
    private static let pass: UInt32 = 2
    private static let drop: UInt32 = 1

    private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

    private func decapsulator(
        for texts: [String], guePort: UInt16 = 0
    ) throws -> Program {
        let object = try Decapsulator.load()
        let local = try object.map(
            named: "local_addresses", key: martlet_local_address.self, value: UInt32.self)
        for text in texts {
            let address = try address(text)
            let key = martlet_local_address(
                address: martlet_address(address), family: UInt32(address.family.rawValue))
            try local.set(UInt32(guePort.bigEndian), for: key)
        }
        return try object.program(named: Decapsulator.programName)
    }

    /// `inner` in a packet from a balancer to `outer`.
    private func tunnelled(_ inner: Frame, to outer: String) throws -> Frame {
        var frame = Frame()
        frame.destination = try address(outer)
        frame.source = try address(frame.destination.family == .v4 ? "192.0.2.1" : "2001:db8::1")
        frame.transport = inner.destination.family == .v4 ? 4 : 41
        frame.payload = inner.packet
        return frame
    }

    @Test(arguments: ["192.0.2.100", "2001:db8::100"], ["192.0.2.101", "2001:db8::101"])
    func `the inner packet comes out as it went in, in all combinations`(
        vip: String, outer: String
    ) throws {
        var inner = Frame()
        inner.destination = try address(vip)
        inner.source = try address(vip.contains(":") ? "2001:db8:1::7" : "198.51.100.7")
        let result = try decapsulator(for: [outer]).run(on: tunnelled(inner, to: outer).bytes)
        #expect(result.action == Self.pass)
        #expect(result.packet == inner.bytes)
    }

    /// `inner` in UDP from a balancer to `outer`: GUE, variant 1.
    private func gue(_ inner: Frame, to outer: String, port: UInt16 = 6080) throws -> Frame {
        var frame = try tunnelled(inner, to: outer)
        frame.transport = 17
        (frame.sourcePort, frame.destinationPort) = (0xC001, port)
        return frame
    }

    @Test(arguments: ["192.0.2.100", "2001:db8::100"], ["192.0.2.101", "2001:db8::101"])
    func `GUE for the port comes out as it went in, and other UDP is left alone`(
        vip: String, outer: String
    ) throws {
        var inner = Frame()
        inner.destination = try address(vip)
        inner.source = try address(vip.contains(":") ? "2001:db8:1::7" : "198.51.100.7")
        let program = try decapsulator(for: [outer], guePort: 6080)
        let result = try program.run(on: gue(inner, to: outer).bytes)
        #expect(result.action == Self.pass)
        #expect(result.packet == inner.bytes)
        for (own, port) in [(6080, 6081), (0, 6080), (0, 0)] as [(UInt16, UInt16)] {
            let packet = try gue(inner, to: outer, port: port).bytes
            let result = try decapsulator(for: [outer], guePort: own).run(on: packet)
            #expect(result.action == Self.pass)
            #expect(result.packet == packet)
        }
    }

    @Test(arguments: ["192.0.2.101", "2001:db8::101"])
    func `GUE cut short at any byte never comes out of its tunnel`(outer: String) throws {
        let program = try decapsulator(for: [outer], guePort: 6080)
        let whole = try gue(Frame(), to: outer).bytes
        for length in 14..<whole.count {
            let packet = Array(whole.prefix(length))
            let result = try program.run(on: packet)
            // Without the UDP header it is not known for whom it is.
            #expect(result.action == Self.drop || result.packet == packet, "\(length) bytes")
        }
    }

    @Test(arguments: ["192.0.2.102", "2001:db8::102"])
    func `a tunnel that is not addressed to this host is left alone`(outer: String) throws {
        let packet = try tunnelled(Frame(), to: outer).bytes
        let result = try decapsulator(for: ["192.0.2.101", "2001:db8::101"]).run(on: packet)
        #expect(result.action == Self.pass)
        #expect(result.packet == packet)
    }

    @Test func `what is no tunnel is left alone`() throws {
        var frame = Frame()
        frame.destination = try address("192.0.2.101")
        let result = try decapsulator(for: ["192.0.2.101"]).run(on: frame.bytes)
        #expect(result.action == Self.pass)
        #expect(result.packet == frame.bytes)
    }

    @Test(arguments: ["192.0.2.101", "2001:db8::101"])
    func `a tunnelled packet cut short at any byte is dropped`(outer: String) throws {
        let program = try decapsulator(for: [outer])
        let whole = try tunnelled(Frame(), to: outer).bytes
        for length in 14..<whole.count {
            #expect(try program.run(on: Array(whole.prefix(length))).action == Self.drop)
        }
    }

    @Test func `an inner packet of another version than announced is dropped`() throws {
        var frame = try tunnelled(Frame(), to: "192.0.2.101")
        frame.transport = 41
        frame.payload += Array(repeating: 0, count: 40)
        #expect(try decapsulator(for: ["192.0.2.101"]).run(on: frame.bytes).action == Self.drop)
    }

    @Test func `an outer header with a wrong checksum is dropped`() throws {
        var bytes = try tunnelled(Frame(), to: "192.0.2.101").bytes
        bytes[22] ^= 1  // the TTL
        #expect(try decapsulator(for: ["192.0.2.101"]).run(on: bytes).action == Self.drop)
    }
}
