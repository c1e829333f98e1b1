import Model
import ModelMaps
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
        try KernelNetwork.forward(tables.kernel.forwards)
        try tables.write(into: plane)
        try writeIndex(into: plane)
    }

    /// In some worlds no key has a place there: every packet looks into the hash maps.
    private func writeIndex(into plane: XDPPlane) throws {
        if allBucketsOverflow { try plane.overflowIndex() } else { try plane.rebuildIndex() }
    }
}
