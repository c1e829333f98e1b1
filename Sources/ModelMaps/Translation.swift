import CDatapath
package import Model
import Packets
import XDPPlane

// Between the values of the model and the structs of martlet_abi.h, both ways.

extension martlet_service {
    package init(_ service: Model.Tables.Service) {
        self.init(
            id: UInt16(service.id),
            flags: UInt16(
                serviceFlags.filter { service[keyPath: $0.0] }
                    .reduce(0) { $0 | $1.1.rawValue }),
            slot_mask: service.slotMask)
    }

    package var asInModel: Model.Tables.Service {
        var service = Model.Tables.Service(
            id: UInt32(id), hasAccessList: false, deniesOthers: false, slotMask: slot_mask)
        for (path, flag) in serviceFlags where UInt32(flags) & flag.rawValue != 0 {
            service[keyPath: path] = true
        }
        return service
    }
}

/// What the model knows of a service beside numbers.
private var serviceFlags: [(WritableKeyPath<Model.Tables.Service, Bool>, martlet_service_flag)] {
    [
        (\.hasAccessList, MARTLET_SERVICE_HAS_ACCESS_LIST),
        (\.deniesOthers, MARTLET_SERVICE_DENIES_OTHERS),
        (\.isFullNAT, MARTLET_SERVICE_FULL_NAT), (\.tracks, MARTLET_SERVICE_TRACKS),
        (\.hasClientAffinity, MARTLET_SERVICE_CLIENT_AFFINITY),
        (\.isRoundRobin, MARTLET_SERVICE_ROUND_ROBIN),
        (\.isLeastCost, MARTLET_SERVICE_LEAST_COST),
    ]
}

extension martlet_settings {
    package init(_ tables: Model.Tables) {
        let flags: [(Bool, martlet_setting)] = [
            (tables.repliesAreRedirected, MARTLET_SETTING_REDIRECT_REPLIES),
            (tables.nat.asksReturns, MARTLET_SETTING_NAT_RETURNS),
            (tables.nat.asksAddresses, MARTLET_SETTING_NAT_ADDRESSES),
            (tables.isFrozen, MARTLET_SETTING_FROZEN),
        ]
        self.init(
            abi: UInt32(MARTLET_ABI),
            flags: flags.filter(\.0).reduce(0) { $0 | $1.1.rawValue },
            hash_key: tables.hashKey, flow_mask: tables.flowMask, unused: 0)
    }

    func has(_ flag: martlet_setting) -> Bool { flags & flag.rawValue != 0 }
}

extension martlet_vip {
    init(_ vip: Model.Tables.VIP) {
        var flags: UInt32 = 0
        if vip.answersEcho { flags |= MARTLET_VIP_ANSWERS_ECHO.rawValue }
        if vip.dropsOthers { flags |= MARTLET_VIP_DROPS_OTHERS.rawValue }
        self.init(base: martlet_address(vip.base), flags: flags)
    }

    /// - Parameter prefix: Under which it is.
    func asInModel(_ prefix: Prefix) -> Model.Tables.VIP? {
        base.address(family: prefix.isIPv4 ? 4 : 6).map {
            Model.Tables.VIP(
                prefix: prefix, base: $0,
                answersEcho: flags & MARTLET_VIP_ANSWERS_ECHO.rawValue != 0,
                dropsOthers: flags & MARTLET_VIP_DROPS_OTHERS.rawValue != 0)
        }
    }
}

extension Prefix {
    /// All of its addresses are those of IPv4: RFC 4291 §2.5.5.2.
    fileprivate var isIPv4: Bool { length >= 96 && bits >> 32 == 0xffff }
}

extension martlet_vip_key {
    init(_ prefix: Prefix) {
        self.init(
            prefix_bits: UInt32(prefix.length),
            address: martlet_address(.v6(IPv6Address(prefix.bits))))
    }

    var asInModel: Prefix { Prefix(bits: number(address), length: Int(prefix_bits)) }
}

extension martlet_access_key {
    init(_ rule: Model.Tables.AccessRule) {
        self.init(
            prefix_bits: UInt32(32 + rule.prefix.length), service: rule.service,
            source: martlet_address(.v6(IPv6Address(rule.prefix.bits))))
    }

    /// Nil: it is of more than one service, which none of ours is.
    var asInModel: Prefix? {
        prefix_bits < 32 ? nil : Prefix(bits: number(source), length: Int(prefix_bits) - 32)
    }
}

private func number(_ address: martlet_address) -> UInt128 {
    guard case .v6(let address)? = address.address(family: 6) else { return 0 }
    return address.number
}

extension martlet_egress {
    package init(_ egress: Model.Tables.Egress) {
        func tag(_ index: Int) -> martlet_vlan {
            guard index < egress.tags.count else { return martlet_vlan() }
            let tag = egress.tags[index]
            return martlet_vlan(protocol: tag.type.bigEndian, control: tag.control.bigEndian)
        }
        self.init(
            interface: egress.interface, mtu: UInt16(egress.mtu), mac: tuple(egress.address),
            flags: egress.isRedirectedBack ? MARTLET_EGRESS_REDIRECT_BACK.rawValue : 0,
            vlan: (tag(0), tag(1)))
    }

    /// Nil: the record is free.
    package var asInModel: Model.Tables.Egress? {
        guard interface != 0 else { return nil }
        let tags = [vlan.0, vlan.1].filter { $0.protocol != 0 }.map {
            Tag(type: UInt16(bigEndian: $0.protocol), control: UInt16(bigEndian: $0.control))
        }
        return Model.Tables.Egress(
            interface: interface, mtu: Int(mtu), address: bytes(mac), tags: tags,
            isRedirectedBack: flags & MARTLET_EGRESS_REDIRECT_BACK.rawValue != 0)
    }
}

extension martlet_backend {
    package init(_ backend: Model.Tables.Backend) {
        self.init()
        next_hop = martlet_next_hop(
            mac: tuple(backend.neighbour), egress: UInt16(backend.egress))
        service = backend.service
        forwarding = UInt8(backend.forwarding)
        family = backend.address.family.rawValue
        tunnel_port = backend.tunnelPort.bigEndian
        port = backend.port.bigEndian
        mtu = UInt16(backend.mtu)
        address = martlet_address(backend.address)
        source = martlet_address(backend.source)
        source_entropy = backend.sourceEntropy.bigEndian
    }

    /// Nil: the record is free.
    package var asInModel: Model.Tables.Backend? {
        guard service != 0, let address = address.address(family: family),
            let source = source.address(family: family)
        else { return nil }
        return Model.Tables.Backend(
            service: service, forwarding: UInt32(forwarding), address: address, source: source,
            sourceEntropy: UInt32(bigEndian: source_entropy),
            tunnelPort: UInt16(bigEndian: tunnel_port), port: UInt16(bigEndian: port),
            mtu: Int(mtu), neighbour: bytes(next_hop.mac), egress: UInt32(next_hop.egress))
    }
}

extension martlet_load {
    package init(_ load: Model.Tables.Load) {
        self.init(
            flows: load.flows, limit: load.limit, latency: load.latency, weight: load.weight,
            flags: (load.isClosed ? UInt16(MARTLET_LOAD_CLOSED.rawValue) : 0)
                | (load.isLost ? UInt16(MARTLET_LOAD_LOST.rawValue) : 0))
    }

    package var asInModel: Model.Tables.Load {
        Model.Tables.Load(
            flows: flows, limit: limit, latency: latency, weight: weight,
            isClosed: UInt32(flags) & MARTLET_LOAD_CLOSED.rawValue != 0,
            isLost: UInt32(flags) & MARTLET_LOAD_LOST.rawValue != 0)
    }
}

extension Outcome.Action {
    /// What the program returns: `enum xdp_action`.
    package var code: UInt32 {
        switch self {
        case .drop: 1
        case .pass: 2
        case .transmit: 3
        case .redirect: 4
        }
    }
}

typealias MACTuple = (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8)

func tuple(_ mac: [UInt8]) -> MACTuple { (mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]) }

func bytes(_ mac: MACTuple) -> [UInt8] { [mac.0, mac.1, mac.2, mac.3, mac.4, mac.5] }
