import CLinux
import Packets
import Testing

@testable import Netlink

/// What is read of one link, byte by byte; the numbers are those of a little-endian machine.
struct LinkStateTests {
    private static let fixed: [UInt8] = [
        0x00, 0x00, 0x01, 0x00,  // family, padding, type of device: ARPHRD_ETHER
        0x07, 0x00, 0x00, 0x00,  // interface: 7
        0x43, 0x10, 0x01, 0x00,  // flags: UP, BROADCAST, RUNNING, MULTICAST, LOWER_UP
        0x00, 0x00, 0x00, 0x00,  // change mask
    ]
    private static let name: [UInt8] = [
        0x09, 0x00, 0x03, 0x00,  // attribute: 9 bytes, IFLA_IFNAME
        0x65, 0x74, 0x68, 0x31, 0x00, 0x00, 0x00, 0x00,  // "eth1", padding
    ]
    private static let mtu: [UInt8] = [
        0x08, 0x00, 0x04, 0x00,  // attribute: 8 bytes, IFLA_MTU
        0xDC, 0x05, 0x00, 0x00,  // 1500
    ]
    private static let address: [UInt8] = [
        0x0A, 0x00, 0x01, 0x00,  // attribute: 10 bytes, IFLA_ADDRESS
        0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00,  // 02:00:00:00:00:01, padding
    ]

    private static func link(_ body: [UInt8]) throws(Malformed) -> LinkState? {
        try LinkState(
            Message(type: Int(RTM_NEWLINK), flags: 0, sequence: 0, port: 0, body: body[...]))
    }

    @Test func `a link is read`() throws {
        #expect(
            try Self.link(Self.fixed + Self.name + Self.mtu + Self.address)
                == LinkState(
                    index: 7, name: "eth1", address: MACAddress(0x0200_0000_0001), mtu: 1500,
                    flags: [.enabled, .carrier]))
    }

    @Test func `six bytes are a MAC address on an Ethernet link only`() throws {
        var loopback = Self.fixed
        loopback.replaceSubrange(2..<4, with: [0x04, 0x03])  // ARPHRD_LOOPBACK: 772
        let link = try Self.link(loopback + Self.name + Self.mtu + Self.address)
        #expect(link?.name == "eth1")
        #expect(link?.address == nil)
    }

    /// As a kernel 6.18 told them of a veth.
    @Test(
        arguments: [
            (
                [
                    0x0C, 0x00, 0x2B, 0x00,  // attribute: 12 bytes, IFLA_XDP
                    0x05, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00,  // IFLA_XDP_ATTACHED: none
                ], []
            ),
            (
                [
                    0x1C, 0x00, 0x2B, 0x00,  // attribute: 28 bytes, IFLA_XDP
                    0x08, 0x00, 0x05, 0x00, 0x2E, 0x01, 0x00, 0x00,  // IFLA_XDP_DRV_PROG_ID: 302
                    0x05, 0x00, 0x02, 0x00, 0x01, 0x00, 0x00, 0x00,  // IFLA_XDP_ATTACHED: driver
                    0x08, 0x00, 0x04, 0x00, 0x2E, 0x01, 0x00, 0x00,  // IFLA_XDP_PROG_ID: 302
                ], [XDPProgram(mode: .native, id: 302)]
            ),
            (
                [
                    0x1C, 0x00, 0x2B, 0x00,  // attribute: 28 bytes, IFLA_XDP
                    0x08, 0x00, 0x06, 0x00, 0x33, 0x01, 0x00, 0x00,  // IFLA_XDP_SKB_PROG_ID: 307
                    0x05, 0x00, 0x02, 0x00, 0x02, 0x00, 0x00, 0x00,  // IFLA_XDP_ATTACHED: generic
                    0x08, 0x00, 0x04, 0x00, 0x33, 0x01, 0x00, 0x00,  // IFLA_XDP_PROG_ID: 307
                ], [XDPProgram(mode: .generic, id: 307)]
            ),
        ] as [([UInt8], [XDPProgram])])
    func `an XDP program is read with its mode`(xdp: [UInt8], programs: [XDPProgram]) throws {
        #expect(try Self.link(Self.fixed + Self.name + Self.mtu + xdp)?.programs == programs)
    }

    @Test func `the kind of a virtual link is read`() throws {
        let kind: [UInt8] = [
            0x10, 0x00, 0x12, 0x00,  // attribute: 16 bytes, IFLA_LINKINFO
            0x09, 0x00, 0x01, 0x00,  // attribute: 9 bytes, IFLA_INFO_KIND
            0x76, 0x65, 0x74, 0x68, 0x00, 0x00, 0x00, 0x00,  // "veth", padding
        ]
        #expect(try Self.link(Self.fixed + Self.name + Self.mtu + kind)?.kind == "veth")
        #expect(try Self.link(Self.fixed + Self.name + Self.mtu)?.kind == nil)
    }

    private static let lower: [UInt8] = [
        0x08, 0x00, 0x05, 0x00,  // attribute: 8 bytes, IFLA_LINK
        0x03, 0x00, 0x00, 0x00,  // 3
    ]
    private static let vlanKind: [UInt8] = [
        0x09, 0x00, 0x01, 0x00,  // attribute: 9 bytes, IFLA_INFO_KIND
        0x76, 0x6C, 0x61, 0x6E, 0x00, 0x00, 0x00, 0x00,  // "vlan", padding
    ]
    private static let vlanNumber: [UInt8] = [
        0x06, 0x00, 0x01, 0x00,  // attribute: 6 bytes, IFLA_VLAN_ID
        0xFF, 0x0F, 0x00, 0x00,  // 4095, padding
    ]
    private static let vlanType: [UInt8] = [
        0x06, 0x00, 0x05, 0x00,  // attribute: 6 bytes, IFLA_VLAN_PROTOCOL
        0x88, 0xA8, 0x00, 0x00,  // 802.1ad in network order, padding
    ]

    /// `IFLA_LINKINFO` with this kind and `IFLA_INFO_DATA` of these.
    private static func information(_ kind: [UInt8], _ data: [UInt8]) -> [UInt8] {
        let length = { (bytes: [UInt8]) in UInt8(bytes.count + 4) }
        let nested: [UInt8] = [length(data), 0x00, 0x02, 0x00] + data
        return [length(kind + nested), 0x00, 0x12, 0x00] + kind + nested
    }

    @Test func `a VLAN is read with its number, its type and the link below it`() throws {
        let start = Self.fixed + Self.name + Self.mtu + Self.lower
        let whole = try Self.link(
            start + Self.information(Self.vlanKind, Self.vlanNumber + Self.vlanType))
        #expect(whole?.kind == "vlan")
        #expect(whole?.vlan == .init(type: 0x88A8, number: 4095, lower: 3))
        let old = try Self.link(start + Self.information(Self.vlanKind, Self.vlanNumber))
        #expect(old?.vlan == .init(type: 0x8100, number: 4095, lower: 3))
    }

    @Test func `only of a VLAN is the link below it read, and only in this namespace`() throws {
        let start = Self.fixed + Self.name + Self.mtu + Self.lower
        let veth: [UInt8] = [
            0x09, 0x00, 0x01, 0x00, 0x76, 0x65, 0x74, 0x68, 0x00, 0x00, 0x00, 0x00,
        ]
        #expect(try Self.link(start + Self.information(veth, Self.vlanNumber))?.vlan == nil)
        #expect(try Self.link(start)?.vlan == nil)
        let elsewhere: [UInt8] = [
            0x08, 0x00, 0x25, 0x00,  // attribute: 8 bytes, IFLA_LINK_NETNSID
            0x00, 0x00, 0x00, 0x00,  // 0
        ]
        let vlan = Self.information(Self.vlanKind, Self.vlanNumber)
        #expect(
            try Self.link(start + elsewhere + vlan)?.vlan
                == .init(type: 0x8100, number: 4095, lower: nil))
    }

    @Test func `a VLAN's number or type of another size is refused`() {
        let start = Self.fixed + Self.name + Self.mtu + Self.lower
        for wrong in [
            [0x05, 0x00, 0x01, 0x00, 0x07, 0x00, 0x00, 0x00],
            Self.vlanNumber + [0x08, 0x00, 0x05, 0x00, 0x88, 0xA8, 0x00, 0x00],
        ] as [[UInt8]] {
            #expect(throws: Malformed.self) {
                try Self.link(start + Self.information(Self.vlanKind, wrong))
            }
        }
    }

    @Test func `a link without name or MTU, or cut short, is refused`() {
        #expect(throws: Malformed.self) { try Self.link(Self.fixed + Self.mtu) }
        #expect(throws: Malformed.self) { try Self.link(Self.fixed + Self.name) }
        #expect(throws: Malformed.self) { try Self.link(Self.fixed.dropLast()) }
        #expect(throws: Malformed.self) {
            try Self.link(Self.fixed + Self.name + Self.mtu.dropLast())
        }
    }
}
