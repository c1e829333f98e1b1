import Packets

/// A TCP segment with 20 bytes of payload to port 80 of `vip`; SYN or a later one.
func tcpFrame(to vip: IPAddress, isSYN: Bool) -> [UInt8] {
    let flags: UInt8 = isSYN ? 0x02 : 0x10
    let tcp: [UInt8] =
        [0x9c, 0x40, 0, 80] + [UInt8](repeating: 1, count: 8) + [
            0x50, flags, 0xff, 0xff, 0, 0, 0, 0,
        ]
        + [UInt8](repeating: 0x78, count: 20)
    let link: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]
    switch vip {
    case .v4:
        // 10.0.0.0, to which the number of the flow is added.
        let header: [UInt8] = [0x45, 0, 0, 60, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 0]
        return link + [8, 0] + header + vip.bytes + tcp
    case .v6:
        let source = IPv6Address(0xfd01 << 112).bytes
        let header: [UInt8] = [0x60, 0, 0, 0, 0, 40, 6, 64]
        return link + [0x86, 0xdd] + header + source + vip.bytes + tcp
    }
}

/// Where the last four bytes of the source address stand in such a frame.
func flowOffset(of family: IPFamily) -> UInt32 { family == .v4 ? 14 + 12 : 14 + 8 + 12 }
