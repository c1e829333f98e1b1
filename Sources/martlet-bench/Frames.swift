import Packets

/// An address and the port there.
struct End {
    let address: IPAddress
    let port: UInt16
}

/// A TCP segment with 20 bytes of payload; SYN or a later one.
func tcpFrame(from source: End, to destination: End, isSYN: Bool = false) -> [UInt8] {
    let flags: UInt8 = isSYN ? 0x02 : 0x10
    let ports = [source.port, destination.port].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] }
    let tcp: [UInt8] =
        ports + [UInt8](repeating: 1, count: 8) + [0x50, flags, 0xff, 0xff, 0, 0, 0, 0]
        + [UInt8](repeating: 0x78, count: 20)
    let link: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]
    let addresses = source.address.bytes + destination.address.bytes
    switch destination.address {
    case .v4:
        let header: [UInt8] = [0x45, 0, 0, 60, 0, 1, 0x40, 0, 64, 6, 0, 0]
        return link + [8, 0] + header + addresses + tcp
    case .v6:
        let header: [UInt8] = [0x60, 0, 0, 0, 0, 40, 6, 64]
        return link + [0x86, 0xdd] + header + addresses + tcp
    }
}

/// The client of the flow with this number.
func client(_ flow: UInt32 = 0, _ family: IPFamily = .v4) -> End {
    let address: IPAddress =
        family == .v4
        ? .v4(IPv4Address(0x0a00_0000 + flow))
        : .v6(IPv6Address(0xfd01 << 112 | UInt128(flow)))
    return End(address: address, port: 40_000)
}

/// In what the frames of one flow differ from those of another.
enum Variety {
    /// The number of the flow is added to the source address, and flows come at random.
    case source
    /// The same for the destination.
    case destination
    /// Both ends are those of a list, in its order.
    case listed

    /// Where the last four bytes of that address stand.
    func offset(in frame: [UInt8]) -> UInt32 {
        let isDestination = self == .destination
        return frame[12] == 8
            ? 14 + 12 + (isDestination ? 4 : 0) : 14 + 8 + 12 + (isDestination ? 16 : 0)
    }
}
