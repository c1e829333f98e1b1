import BPF
import Balancing
import CDatapath
import Model
import Packets
import SeededRandom
import XDPPlane

/// Random tables: as a value for the model, and written into the program's maps.
struct World {
    var tables = Model.Tables()
    private static let backendCount = 40
    /// Whether the index of services sends every packet on to the hash maps.
    let allBucketsOverflow: Bool
    /// Flows that many packets are of.
    var hotFlows: [Flow] = []
    /// What the controller does meanwhile.
    let sweeps: Random
    /// No service and no backend has a higher number.
    static let highestNumber: UInt32 = 64

    /// Makes tables of `random`, of which those of the kernel are those of `network`.
    init(_ random: inout Random, in network: KernelNetwork) {
        allBucketsOverflow = random.once(in: 4)
        sweeps = Random(seed: random.next())
        tables.hashKey = (random.next(), random.next())
        tables.repliesAreRedirected = random.once(in: 4)
        for id in 1...4 { tables.egresses[UInt32(id)] = egress(&random) }
        addVIPs(&random)
        addServices(&random)
        for id in 1...UInt32(Self.backendCount) where !random.once(in: 20) {
            tables.backends[id] = backend(&random)
        }
        addSlots(&random)
        addFlows(&random)
        addNAT(&random, in: network)
    }

    private func egress(_ random: inout Random) -> Model.Tables.Egress {
        let tags = (0..<random.pick([0, 0, 1, 2])).map { index in
            Tag(
                type: index == 0 ? random.pick([0x8100, 0x88a8]) : 0x8100,
                control: random.number16())
        }
        return Model.Tables.Egress(
            interface: random.pick([1, 1, 7]), mtu: random.pick([1500, 1500, 1400, 600, 250, 90]),
            address: [2, 0, 0, 0, 0, 0xAA], tags: tags, isRedirectedBack: random.once(in: 3))
    }

    private mutating func addVIPs(_ random: inout Random) {
        func add(_ address: IPAddress, length: Int, _ all: [IPAddress]) {
            guard !random.once(in: 6) else { return }
            tables.vips.append(
                .init(
                    prefix: Prefix(bits: mapped(address), length: length), base: address,
                    answersEcho: !random.once(in: 3), dropsOthers: random.once(in: 3)))
            for address in all { tables.filter.insert(filterBit(of: address)) }
        }
        for address in Places.vips4 + Places.vips6 { add(address, length: 128, [address]) }
        add(Places.wide4[0], length: 96 + 28, (0..<16).map { Places.v4(0xCB00_7100 + $0) })
        add(Places.wide6[0], length: 48, Places.wide6)
        // Bits of others do no harm.
        for _ in 0..<50 { tables.filter.insert(random.number(0...0xffff)) }
    }

    private mutating func addServices(_ random: inout Random) {
        // One table of full size in some worlds: it is looked up in another way.
        let full = random.pick([0, 0, 1, 2, 3] as [UInt32])
        var id: UInt32 = 0
        for vip in tables.vips {
            for transport in [6, 17] as [UInt8] {
                for port in Places.ports.prefix(2) + [0] where !random.once(in: 4) {
                    id += 1
                    let mask = id == full ? 0xffff : random.pick([1, 3, 31, 63] as [UInt32])
                    let service = service(id, slotMask: mask, &random)
                    tables.services[
                        .init(address: vip.base, port: port, transport: transport)] = service
                    if service.hasAccessList { addAccess(to: id, &random) }
                }
            }
        }
    }

    private func service(
        _ id: UInt32, slotMask: UInt32, _ random: inout Random
    ) -> Model.Tables.Service {
        let hasList = random.once(in: 3)
        let scheduler = random.number(0...3)
        return Model.Tables.Service(
            id: id, hasAccessList: hasList, deniesOthers: hasList && random.once(in: 2),
            isFullNAT: random.once(in: 3), tracks: random.once(in: 2),
            hasClientAffinity: random.once(in: 3), isRoundRobin: scheduler == 1,
            isLeastCost: scheduler == 2, slotMask: slotMask)
    }

    private mutating func addAccess(to service: UInt32, _ random: inout Random) {
        var seen: Set<Prefix> = []
        for _ in 0..<random.number(0...4) {
            let address = random.pick(Places.clients4 + Places.clients6)
            let length = random.pick([96, 104, 120, 127, 128])
            let shift = UInt128(128 - length)
            let prefix = Prefix(bits: (mapped(address) >> shift) << shift, length: length)
            guard seen.insert(prefix).inserted else { continue }
            tables.access.append(
                .init(service: service, prefix: prefix, isAllowed: random.once(in: 2)))
        }
    }

    private func backend(_ random: inout Random) -> Model.Tables.Backend {
        // Mostly one that suits its service.
        let services = tables.services.sorted { $0.value.id < $1.value.id }
        let own = services.isEmpty ? nil : random.pick(services)
        let isV4 = random.once(in: 8) ? random.once(in: 2) : own?.key.address.family == .v4
        let modes: [UInt32] =
            random.once(in: 20)
            ? [1, 2, 3, 4, 5] : own?.value.isFullNAT == true ? [5] : [1, 2, 3, 4]
        let hasEntropy = random.once(in: 2)
        let source =
            isV4
            ? Places.v4(hasEntropy ? 0xAC10_0000 : 0xC000_02FE)
            : Places.v6(0x2001_0db8 << 96 | (hasEntropy ? 0 : 0xfe))
        return Model.Tables.Backend(
            service: own?.value.id ?? 1, forwarding: random.pick(modes),
            address: random.pick(isV4 ? Places.backends4 : Places.backends6),
            source: source, sourceEntropy: hasEntropy ? (isV4 ? 0xffff : 0xffff_ffff) : 0,
            tunnelPort: random.pick([6080, 7000]), port: random.pick([0, 0, 8080]),
            mtu: random.pick([0, 0, 0, 0, 1300, 250, 90]), neighbour: [2, 0, 0, 0, 0, 0xBB],
            egress: random.once(in: 12)
                ? 0
                // One beyond the table, one that is free.
                : random.once(in: 40) ? random.pick([300, 5]) : UInt32(random.number(1...4)))
    }

    private mutating func addSlots(_ random: inout Random) {
        for service in tables.services.values.sorted(by: { $0.id < $1.id }) {
            guard !random.once(in: 40) else { continue }
            let own = tables.backends.filter { $0.value.service == service.id }.keys.sorted()
            tables.slots[service.id] = (0...service.slotMask).map { _ in
                if own.isEmpty { return 0 }
                let isOfAnother = random.once(in: 50)
                return Self.slotWord(
                    in: service.id,
                    of: isOfAnother ? (1...UInt32(Self.backendCount)).map { $0 } : own, &random)
            }
        }
    }
}

// MARK: - Into the maps

extension World {
    /// Writes the tables into the maps of a plane that holds nothing.
    func write(into plane: XDPPlane) throws {
        try tables.writeSettings(into: plane)
        for (id, egress) in tables.egresses {
            try plane.tables.egresses.set(martlet_egress(egress), for: id)
        }
        for (id, backend) in tables.backends {
            try plane.tables.backends.set(martlet_backend(backend), for: id)
        }
        try writeSlots(into: plane)
        try writeVIPs(into: plane)
        try writeNAT(into: plane)
        try tables.writeFlows(into: plane)
        for (key, service) in tables.services {
            let value = martlet_service(service)
            switch key.address {
            case .v4(let address):
                try plane.tables.servicesV4.set(
                    value,
                    for: martlet_service_v4(
                        address: address.number.bigEndian, port: key.port.bigEndian,
                        protocol: key.transport, zero: 0))
            case .v6:
                try plane.tables.servicesV6.set(
                    value,
                    for: martlet_service_v6(
                        address: martlet_address(key.address), port: key.port.bigEndian,
                        protocol: key.transport, zero: 0))
            }
        }
        try writeIndex(into: plane)
        for rule in tables.access {
            try plane.tables.access.set(
                rule.isAllowed ? MARTLET_ACCESS_ALLOW.rawValue : MARTLET_ACCESS_DENY.rawValue,
                for: martlet_access_key(
                    prefix_bits: UInt32(32 + rule.prefix.length), service: rule.service,
                    source: martlet_address(Places.v6(rule.prefix.bits))))
        }
    }

    /// In some worlds no key has a place there: every packet looks into the hash maps.
    private func writeIndex(into plane: XDPPlane) throws {
        if allBucketsOverflow { try plane.overflowIndex() } else { try plane.rebuildIndex() }
    }

    private func writeSlots(into plane: XDPPlane) throws {
        for (service, words) in tables.slots {
            try plane.addSlots(to: ServiceID(service), count: words.count)
        }
        try tables.writeSlots(into: plane, upTo: .max)
    }

    private func writeVIPs(into plane: XDPPlane) throws {
        for vip in tables.vips {
            var flags: UInt32 = 0
            if vip.answersEcho { flags |= MARTLET_VIP_ANSWERS_ECHO.rawValue }
            if vip.dropsOthers { flags |= MARTLET_VIP_DROPS_OTHERS.rawValue }
            try plane.tables.vips.set(
                martlet_vip(base: martlet_address(vip.base), flags: flags),
                for: martlet_vip_key(
                    prefix_bits: UInt32(vip.prefix.length),
                    address: martlet_address(Places.v6(vip.prefix.bits))))
        }
        let filter = try MappedArray<UInt64>(plane.tables.vipFilter)
        for bit in tables.filter { filter[bit / 64] |= 1 << UInt64(bit % 64) }
    }
}

extension Model.Tables {
    func writeSettings(into plane: XDPPlane) throws {
        let flags: [(Bool, martlet_setting)] = [
            (repliesAreRedirected, MARTLET_SETTING_REDIRECT_REPLIES),
            (nat.asksReturns, MARTLET_SETTING_NAT_RETURNS),
            (nat.asksAddresses, MARTLET_SETTING_NAT_ADDRESSES),
            (isFrozen, MARTLET_SETTING_FROZEN),
        ]
        try plane.tables.settings.set(
            martlet_settings(
                abi: UInt32(MARTLET_ABI),
                flags: flags.filter(\.0).reduce(0) { $0 | $1.1.rawValue }, hash_key: hashKey,
                flow_mask: flowMask, unused: 0), for: 0)
    }
}

extension martlet_service {
    fileprivate init(_ service: Model.Tables.Service) {
        let flags: [(Bool, martlet_service_flag)] = [
            (service.hasAccessList, MARTLET_SERVICE_HAS_ACCESS_LIST),
            (service.deniesOthers, MARTLET_SERVICE_DENIES_OTHERS),
            (service.isFullNAT, MARTLET_SERVICE_FULL_NAT),
            (service.tracks, MARTLET_SERVICE_TRACKS),
            (service.hasClientAffinity, MARTLET_SERVICE_CLIENT_AFFINITY),
            (service.isRoundRobin, MARTLET_SERVICE_ROUND_ROBIN),
            (service.isLeastCost, MARTLET_SERVICE_LEAST_COST),
        ]
        self.init(
            id: UInt16(service.id),
            flags: UInt16(flags.filter(\.0).reduce(0) { $0 | $1.1.rawValue }),
            slot_mask: service.slotMask)
    }
}

extension martlet_egress {
    fileprivate init(_ egress: Model.Tables.Egress) {
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
}

extension martlet_backend {
    fileprivate init(_ backend: Model.Tables.Backend) {
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
}

private func tuple(_ mac: [UInt8]) -> (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8) {
    (mac[0], mac[1], mac[2], mac[3], mac[4], mac[5])
}
