import Balancing
package import CDatapath
package import Packets

// Between the words of the data path and ours: each struct of martlet_abi.h in one place.

extension martlet_address {
    package init(_ address: IPAddress) {
        switch address {
        case .v4(let address):
            self.init(word: (address.number.bigEndian, 0, 0, 0))
        case .v6(let address):
            let word = { (shift: UInt128) in
                UInt32(truncatingIfNeeded: address.number >> shift).bigEndian
            }
            self.init(word: (word(96), word(64), word(32), word(0)))
        }
    }

    /// The address, if `family` is 4 or 6.
    func address(family: UInt8) -> IPAddress? {
        switch IPFamily(rawValue: family) {
        case .v4: .v4(IPv4Address(UInt32(bigEndian: word.0)))
        case .v6:
            .v6(
                IPv6Address(
                    [word.0, word.1, word.2, word.3].reduce(0) {
                        $0 << 32 | UInt128(UInt32(bigEndian: $1))
                    }))
        case nil: nil
        }
    }
}

extension martlet_service_v4 {
    init(_ address: IPv4Address, _ key: ServiceKey) {
        self.init(
            address: address.number.bigEndian, port: (key.port ?? 0).bigEndian,
            protocol: key.transport.rawValue, zero: 0)
    }

    var key: ServiceKey? {
        serviceKey(.v4(IPv4Address(UInt32(bigEndian: address))), port, self.protocol)
    }
}

extension martlet_service_v6 {
    init(_ address: IPv6Address, _ key: ServiceKey) {
        self.init(
            address: martlet_address(.v6(address)), port: (key.port ?? 0).bigEndian,
            protocol: key.transport.rawValue, zero: 0)
    }

    var key: ServiceKey? {
        address.address(family: 6).flatMap { serviceKey($0, port, self.protocol) }
    }
}

private func serviceKey(
    _ vip: IPAddress, _ networkPort: UInt16, _ protocolNumber: UInt8
) -> ServiceKey? {
    let port = UInt16(bigEndian: networkPort)
    return Transport(rawValue: protocolNumber).map {
        ServiceKey(vip: vip, port: port == 0 ? nil : port, transport: $0)
    }
}

extension Forwarding {
    var number: UInt8 {
        switch self {
        case .l2DSR: UInt8(MARTLET_L2_DSR.rawValue)
        case .ipip: UInt8(MARTLET_IPIP.rawValue)
        case .gue: UInt8(MARTLET_GUE.rawValue)
        }
    }

    init?(number: UInt8) {
        guard let match = Self.allCases.first(where: { $0.number == number }) else { return nil }
        self = match
    }
}

extension martlet_next_hop {
    init(_ neighbour: MACAddress, egress: UInt16) {
        self.init(mac: tuple(neighbour), egress: egress)
    }

    /// The eight bytes as the one word that is stored.
    var word: UInt64 { unsafe unsafeBitCast(self, to: UInt64.self) }

    var neighbour: MACAddress { macAddress(mac) }
}

extension martlet_egress {
    init(_ egress: Egress) {
        self.init(
            interface: egress.index, mtu: UInt16(clamping: egress.mtu), mac: tuple(egress.address),
            flags: egress.turnaround == .redirect ? MARTLET_EGRESS_REDIRECT_BACK.rawValue : 0,
            vlan: (martlet_vlan(), martlet_vlan()))
    }

    var source: MACAddress { macAddress(mac) }

    var turnaround: Egress.Turnaround {
        flags & MARTLET_EGRESS_REDIRECT_BACK.rawValue != 0 ? .redirect : .transmit
    }
}

typealias MACTuple = (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8)

private func tuple(_ address: MACAddress) -> MACTuple {
    let bytes = address.bytes
    return (bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5])
}

private func macAddress(_ mac: MACTuple) -> MACAddress {
    let bytes = [mac.0, mac.1, mac.2, mac.3, mac.4, mac.5]
    return MACAddress(bytes.reduce(0) { $0 << 8 | UInt64($1) })
}

extension Count {
    init(_ perCPU: [martlet_count]) {
        self = perCPU.reduce(into: Count()) { $0 += Count(packets: $1.packets, bytes: $1.bytes) }
    }

    init(_ perCPU: [martlet_traffic]) {
        self = perCPU.reduce(into: Count()) {
            $0 += Count(packets: $1.packets, bytes: $1.bytes, flows: $1.flows)
        }
    }
}

extension martlet_vip_key {
    /// The key of a single address.
    init(_ vip: IPAddress) { self.init(prefix_bits: 128, address: mapped(vip)) }
}

/// The address as the tries have it: IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
func mapped(_ address: IPAddress) -> martlet_address {
    guard case .v4(let address) = address else { return martlet_address(address) }
    return martlet_address(.v6(IPv6Address(0xffff << 32 | UInt128(address.number))))
}

/// Which bit of `vip_filter` stands for the address; service.h has the same.
func filterBit(of address: IPAddress) -> Int {
    let words = martlet_address(address).word
    let fold = words.0 ^ words.1 ^ words.2 ^ words.3
    return Int((fold &* 0x9e37_79b1) >> 16)
}

extension martlet_access_key {
    init(_ prefix: IPPrefix, _ service: ServiceID) {
        let length = prefix.family == .v4 ? 96 + prefix.length : prefix.length
        self.init(
            prefix_bits: UInt32(32 + length), service: service.number,
            source: mapped(prefix.base))
    }
}

extension IPPrefix {
    init?(_ key: martlet_access_key) {
        let length = Int(key.prefix_bits) - 32
        guard case .v6(let address) = key.source.address(family: 6) else { return nil }
        if length >= 96, address.number >> 32 == 0xffff {
            let v4 = IPv4Address(UInt32(truncatingIfNeeded: address.number))
            self.init(.v4(v4), length: length - 96)
        } else {
            self.init(.v6(address), length: length)
        }
    }
}
