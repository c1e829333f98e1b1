import Packets

/// The addresses and ports that random tables and random packets have in common, so that they meet.
enum Places {
    static let vips4 = (1...4).map { v4(0xC000_0200 + $0) }
    static let vips6 = (1...4).map { v6(0x2001_0db8 << 96 | UInt128($0)) }
    /// Of a VIP that is a prefix: the base first.
    static let wide4 = [0, 1, 9, 15].map { v4(0xCB00_7100 + $0) }
    static let wide6 = [0, 1, 1 << 40].map { v6(0x2001_0db8_0001 << 80 | UInt128($0)) }
    static let clients4 = [0xC633_6401, 0xC633_6402, 0xC633_64FF, 0x0102_0304, 0xDFFF_FFFF]
        .map { v4(UInt32($0)) }
    static let clients6 = [1, 2, 0xffff].map { v6(0x2001_0db8_0002 << 80 | UInt128($0)) }
    static let martians4 = [0x0000_0001, 0x7F00_0001, 0xE000_0001, 0xFFFF_FFFF]
        .map { v4(UInt32($0)) }
    static let martians6 = [
        v6(0), v6(1), v6(0xff02 << 112 | 1), v6(0xffff_c000_0201),
    ]
    static let backends4 = (0x65...0x67).map { v4(0xC000_0200 + $0) }
    static let backends6 = (0x65...0x67).map { v6(0x2001_0db8 << 96 | UInt128($0)) }
    /// What `full-nat` sends from.
    static let nat4 = [201, 202].map { v4(0xC000_0200 + $0) }
    static let nat6 = [201, 202].map { v6(0x2001_0db8 << 96 | UInt128($0)) }
    static let clientPorts: [UInt16] = [40001, 40002, 40003]
    static let ports: [UInt16] = [80, 443, 53, 8080]

    static func v4(_ number: UInt32) -> IPAddress { .v4(IPv4Address(number)) }
    static func v6(_ number: UInt128) -> IPAddress { .v6(IPv6Address(number)) }
}
