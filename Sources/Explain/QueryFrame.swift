import Balancing
import Control
import Model
import Packets

// The packet that is asked about.

extension ExplainQuery {
    /// Its flow.
    var flow: Flow {
        Flow(
            source: source, destination: destination, sourcePort: sourcePort,
            destinationPort: destinationPort, transport: transport.rawValue)
    }

    /// The least that a client's kernel would send: a SYN or an ACK without data (RFC 9293 §3.1),
    /// or an empty datagram (RFC 768), in a frame that a router has addressed to `interface`.
    func frame(to interface: MACAddress?) -> [UInt8] {
        let router: [UInt8] = [2, 0, 0, 0, 0, 1]
        let type: UInt16 = destination.family == .v4 ? 0x0800 : 0x86dd
        return (interface?.bytes ?? [UInt8](repeating: 0, count: 6)) + router + big(type) + packet
    }

    private var packet: [UInt8] {
        let segment = segment
        switch destination.family {
        case .v4:
            // RFC 791 §3.1; with "don't fragment" the identification says nothing: RFC 6864 §4.
            var header: [UInt8] = [0x45, 0] + big(UInt16(20 + segment.count))
            header += [0, 0, 0x40, 0, Self.hops, transport.rawValue, 0, 0]
            header += source.bytes + destination.bytes
            header.replaceSubrange(10..<12, with: big(checksum(header)))
            return header + segment
        case .v6:
            // RFC 8200 §3.
            let header =
                [0x60, 0, 0, 0] + big(UInt16(segment.count)) + [transport.rawValue, Self.hops]
            return header + source.bytes + destination.bytes + segment
        }
    }

    private static let hops: UInt8 = 64
    private static let syn: UInt8 = 0x02
    private static let ack: UInt8 = 0x10

    private var segment: [UInt8] {
        var segment = big(sourcePort) + big(destinationPort)
        let checksumAt: Int
        switch transport {
        case .tcp:
            segment += [0, 0, 0, 1, 0, 0, 0, isNewFlow ? 0 : 1]
            segment += [0x50, isNewFlow ? Self.syn : Self.ack, 0xff, 0xff, 0, 0, 0, 0]
            checksumAt = 16
        case .udp:
            segment += big(8) + [0, 0]
            checksumAt = 6
        }
        // The pseudo-header: RFC 9293 §3.1, RFC 8200 §8.1; both give the same sum.
        let pseudo =
            source.bytes + destination.bytes + [0, transport.rawValue]
            + big(UInt16(segment.count))
        let sum = checksum(pseudo + segment)
        // 0 says that there is none: RFC 768.
        let written = transport == .udp && sum == 0 ? 0xffff : sum
        segment.replaceSubrange(checksumAt..<checksumAt + 2, with: big(written))
        return segment
    }
}
