import Balancing
import Control
import Model
import Packets
import Testing

@testable import Explain

/// The packet that is asked about.
struct QueryFrameTests {
    private func query(
        _ family: IPFamily, _ transport: Transport, isNewFlow: Bool = true
    ) throws -> ExplainQuery {
        ExplainQuery(
            source: try address(family == .v4 ? "198.51.100.7" : "2001:db8:2::7"),
            sourcePort: 41000,
            destination: try address(family == .v4 ? "192.0.2.100" : "2001:db8::100"),
            destinationPort: 80, transport: transport, isNewFlow: isNewFlow)
    }

    @Test(arguments: IPFamily.allCases, Transport.allCases)
    func `it has the right lengths and checksums`(
        family: IPFamily, transport: Transport
    ) throws {
        let query = try query(family, transport)
        let frame = query.frame(to: MACAddress(0x02_0000_0000_05))
        #expect(Array(frame[0..<6]) == [2, 0, 0, 0, 0, 5])
        #expect(Array(frame[12..<14]) == (family == .v4 ? [0x08, 0x00] : [0x86, 0xdd]))
        let start = 14 + (family == .v4 ? 20 : 40)
        let segment = Array(frame[start...])
        #expect(segment.count == (transport == .tcp ? 20 : 8))
        if family == .v4 {
            #expect(checksum(frame[14..<34]) == 0)
            #expect(frame[16...17] == [0, UInt8(20 + segment.count)])
        } else {
            #expect(frame[18...19] == [0, UInt8(segment.count)])
        }
        let pseudo =
            query.source.bytes + query.destination.bytes
            + [0, transport.rawValue, 0, UInt8(segment.count)]
        #expect(checksum(pseudo + segment) == 0)
        #expect(segment.prefix(4) == [0xa0, 0x28, 0, 80])
    }

    @Test func `the first packet of a flow has SYN alone, another one ACK alone`() throws {
        let flags = 14 + 20 + 13
        #expect(try query(.v4, .tcp).frame(to: nil)[flags] == 0x02)
        #expect(try query(.v4, .tcp, isNewFlow: false).frame(to: nil)[flags] == 0x10)
    }
}
