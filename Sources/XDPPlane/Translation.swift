package import Balancing
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
    package func address(family: UInt8) -> IPAddress? {
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
        case .nat: UInt8(MARTLET_NAT.rawValue)
        case .fullNAT: UInt8(MARTLET_FULL_NAT.rawValue)
        }
    }

    package init?(number: UInt8) {
        guard let match = Self.allCases.first(where: { $0.number == number }) else { return nil }
        self = match
    }
}

extension martlet_service {
    init(_ entry: PlaneContents.Entry, slotMask: UInt32) {
        let mode = entry.isFullNAT ? MARTLET_SERVICE_FULL_NAT.rawValue : 0
        let selection = entry.selection.flags
        let flags: martlet_service_flag.RawValue =
            switch entry.others {
            case .unlisted: 0
            case .allowed: MARTLET_SERVICE_HAS_ACCESS_LIST.rawValue
            case .denied:
                MARTLET_SERVICE_HAS_ACCESS_LIST.rawValue | MARTLET_SERVICE_DENIES_OTHERS.rawValue
            }
        self.init(
            id: UInt16(entry.service.number), flags: UInt16(flags | mode | selection),
            slot_mask: slotMask)
    }

    var entry: PlaneContents.Entry {
        let has = { (flag: martlet_service_flag) in UInt32(flags) & flag.rawValue != 0 }
        return PlaneContents.Entry(
            service: ServiceID(UInt32(id)),
            others: !has(MARTLET_SERVICE_HAS_ACCESS_LIST)
                ? .unlisted : has(MARTLET_SERVICE_DENIES_OTHERS) ? .denied : .allowed,
            isFullNAT: has(MARTLET_SERVICE_FULL_NAT),
            selection: Selection(flags: UInt32(flags)))
    }
}

extension Selection {
    /// Of a service: `enum martlet_service_flag`.
    var flags: UInt32 {
        let order: martlet_service_flag.RawValue =
            switch scheduler {
            case .maglev: 0
            case .roundRobin: MARTLET_SERVICE_ROUND_ROBIN.rawValue
            case .leastConnections, .responseTime: MARTLET_SERVICE_LEAST_COST.rawValue
            }
        return order
            | (tracks ? MARTLET_SERVICE_TRACKS.rawValue : 0)
            | (hasClientAffinity ? MARTLET_SERVICE_CLIENT_AFFINITY.rawValue : 0)
            | (timesAnswers ? MARTLET_SERVICE_TIMES_ANSWERS.rawValue : 0)
    }

    /// As ``Selection/held``.
    init(flags: UInt32) {
        let has = { (flag: martlet_service_flag) in flags & flag.rawValue != 0 }
        self.init(
            scheduler: has(MARTLET_SERVICE_ROUND_ROBIN)
                ? .roundRobin : has(MARTLET_SERVICE_LEAST_COST) ? .leastConnections : .maglev,
            tracks: has(MARTLET_SERVICE_TRACKS),
            hasClientAffinity: has(MARTLET_SERVICE_CLIENT_AFFINITY),
            timesAnswers: has(MARTLET_SERVICE_TIMES_ANSWERS))
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
            vlan: (martlet_vlan(egress.tags.first), martlet_vlan(egress.tags.dropFirst().first)))
    }

    /// From the outside in.
    var tags: [VLANTag] { [vlan.0, vlan.1].compactMap(\.tag) }

    var source: MACAddress { macAddress(mac) }

    var turnaround: Egress.Turnaround {
        flags & MARTLET_EGRESS_REDIRECT_BACK.rawValue != 0 ? .redirect : .transmit
    }
}

extension martlet_vlan {
    /// With priority 0.
    init(_ tag: VLANTag?) {
        self.init(
            protocol: (tag?.type ?? 0).bigEndian, control: (tag?.number ?? 0).bigEndian)
    }

    var tag: VLANTag? {
        guard self.protocol != 0 else { return nil }
        return VLANTag(
            type: UInt16(bigEndian: self.protocol), number: UInt16(bigEndian: control) & 0xFFF)
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
    init(_ prefix: IPPrefix) {
        self.init(prefix_bits: mappedLength(prefix), address: mapped(prefix.base))
    }

    var prefix: IPPrefix? { unmapped(address, prefix_bits) }
}

extension martlet_vip {
    init(_ vip: VIP) {
        var flags: UInt32 = 0
        if vip.settings.ping == .answer { flags |= MARTLET_VIP_ANSWERS_ECHO.rawValue }
        if vip.settings.otherPorts == .drop { flags |= MARTLET_VIP_DROPS_OTHERS.rawValue }
        self.init(base: martlet_address(vip.prefix.base), flags: flags)
    }

    var settings: VIP.Settings {
        VIP.Settings(
            ping: flags & MARTLET_VIP_ANSWERS_ECHO.rawValue != 0 ? .answer : .kernel,
            otherPorts: flags & MARTLET_VIP_DROPS_OTHERS.rawValue != 0 ? .drop : .pass)
    }
}

extension martlet_access_key {
    init(_ prefix: IPPrefix, of service: ServiceID) {
        self.init(
            prefix_bits: 32 + mappedLength(prefix), service: service.number,
            source: mapped(prefix.base))
    }

    var prefix: IPPrefix? { prefix_bits < 32 ? nil : unmapped(source, prefix_bits - 32) }
}

extension AccessList.Rule {
    var number: UInt32 {
        switch self {
        case .allow: MARTLET_ACCESS_ALLOW.rawValue
        case .deny: MARTLET_ACCESS_DENY.rawValue
        }
    }

    init?(number: UInt32) {
        switch number {
        case MARTLET_ACCESS_ALLOW.rawValue: self = .allow
        case MARTLET_ACCESS_DENY.rawValue: self = .deny
        default: return nil
        }
    }
}

extension martlet_nat_key {
    init(_ key: ReturnKey) {
        self.init(
            backend: mapped(key.backend), port: (key.port ?? 0).bigEndian,
            protocol: key.transport.rawValue, zero: 0)
    }

    var key: ReturnKey? {
        guard let backend = backend.unmapped else { return nil }
        let port = UInt16(bigEndian: port)
        return Transport(rawValue: self.protocol).map {
            ReturnKey(backend: backend, port: port == 0 ? nil : port, transport: $0)
        }
    }
}

extension martlet_nat_return {
    init(_ key: ServiceKey) {
        self.init(vip: mapped(key.vip), port: (key.port ?? 0).bigEndian, zero: 0)
    }

    func key(_ transport: Transport) -> ServiceKey? {
        let port = UInt16(bigEndian: port)
        return vip.unmapped.map {
            ServiceKey(vip: $0, port: port == 0 ? nil : port, transport: transport)
        }
    }
}

extension martlet_nat_share {
    init(_ share: NATShare) {
        self.init(owner: share.owner?.number ?? 0, former: share.former?.number ?? 0)
    }

    var share: NATShare {
        NATShare(
            owner: owner == 0 ? nil : NATAddressID(owner),
            former: former == 0 ? nil : NATAddressID(former))
    }
}

extension martlet_address {
    /// The address of either family, as the tries have it.
    package init(mapping address: IPAddress) { self = mapped(address) }

    /// What a trie's address stands for; nil: nothing, it is all 0s.
    package var unmapped: IPAddress? {
        guard word != (0, 0, 0, 0) else { return nil }
        return martlet_vip_key(prefix_bits: 128, address: self).prefix?.base
    }
}

/// How many bits come before those of an IPv4 address in the tries.
private let mappingBits = 96
private let mapping: UInt128 = 0xFFFF << 32

/// The address as the tries have it: IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
private func mapped(_ address: IPAddress) -> martlet_address {
    guard case .v4(let address) = address else { return martlet_address(address) }
    return martlet_address(.v6(IPv6Address(mapping | UInt128(address.number))))
}

private func mappedLength(_ prefix: IPPrefix) -> UInt32 {
    UInt32(prefix.family == .v4 ? mappingBits + prefix.length : prefix.length)
}

private func unmapped(_ address: martlet_address, _ length: UInt32) -> IPPrefix? {
    guard case .v6(let whole)? = address.address(family: 6) else { return nil }
    guard whole.number >> 32 == mapping >> 32, length >= mappingBits else {
        return IPPrefix(.v6(whole), length: Int(length))
    }
    return IPPrefix(
        .v4(IPv4Address(UInt32(truncatingIfNeeded: whole.number))),
        length: Int(length) - mappingBits)
}
