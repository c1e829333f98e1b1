import CLinux
import Packets
import Testing

@testable import Netlink

/// What is read of one route, byte by byte; the numbers are those of a little-endian machine.
struct RouteTests {
    private static let fixed: [UInt8] = [
        0x02, 0x20, 0x00, 0x00,  // family: AF_INET, bits of destination and of source, TOS
        0xFE, 0x00, 0x00, 0x01,  // table: main, protocol, scope: universe, type: RTN_UNICAST
        0x00, 0x02, 0x00, 0x00,  // flags: RTM_F_CLONED
    ]
    private static let interface: [UInt8] = [
        0x08, 0x00, 0x04, 0x00,  // attribute: 8 bytes, RTA_OIF
        0x07, 0x00, 0x00, 0x00,  // interface 7
    ]
    private static let hops: [UInt8] = [
        0x08, 0x00, 0x0A, 0x00,  // attribute: 8 bytes, RTAX_HOPLIMIT
        0x40, 0x00, 0x00, 0x00,  // 64
    ]

    private static func mtu(_ low: UInt8, _ high: UInt8) -> [UInt8] {
        [
            0x08, 0x00, 0x02, 0x00,  // attribute: 8 bytes, RTAX_MTU
            low, high, 0x00, 0x00,
        ]
    }

    private static func metrics(_ nested: [UInt8]) -> [UInt8] {
        // attribute: RTA_METRICS
        [UInt8(4 + nested.count), 0x00, 0x08, 0x00] + nested
    }

    private static func route(_ attributes: [UInt8]) throws(Malformed) -> Route? {
        try Route(
            Message(
                type: Int(RTM_NEWROUTE), flags: 0, sequence: 0, port: 0,
                body: (fixed + attributes)[...]))
    }

    @Test func `a route has the MTU among its metrics, or none`() throws {
        let plain = Route.unicast(interface: 7, gateway: nil, source: nil)
        let narrow = Route.unicast(interface: 7, gateway: nil, source: nil, mtu: 1400)
        #expect(try Self.route(Self.interface) == plain)
        #expect(try Self.route(Self.interface + Self.metrics(Self.hops)) == plain)
        #expect(
            try Self.route(Self.interface + Self.metrics(Self.hops + Self.mtu(0x78, 0x05)))
                == narrow)
        #expect(
            try Self.route(Self.metrics(Self.mtu(0, 0)) + Self.interface) == plain,
            "the kernel's word for none")
    }

    @Test func `metrics that are cut short are refused`() {
        for nested in [[0x06, 0x00, 0x02, 0x00, 0x78, 0x05, 0x00, 0x00], [0x08, 0x00, 0x02]]
            as [[UInt8]]
        {
            #expect(throws: Malformed.self) {
                try Self.route(Self.interface + Self.metrics(nested))
            }
        }
    }
}
