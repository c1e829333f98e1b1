import BPF
import Balancing
import CDatapath
package import Model
import Packets
package import XDPPlane

// The maps of the program, as far as packets of one flow meet them, as tables of the model.

extension Model.Tables {
    /// What a packet of `flow` that comes in by `interface` may meet in the maps of `plane`, and
    /// nothing else: of 2 Mi places of the flow table at most 32, of all backends those of its
    /// service. Nothing is written.
    ///
    /// - Parameter flow: From a client to a VIP.
    package init(_ plane: XDPPlane, for flow: Flow, from interface: UInt32) throws {
        self.init()
        try readSettings(of: plane)
        try readVIPs(of: plane, flow.destination)
        try readServices(of: plane, flow)
        if let number = try plane.tables.egressNumbers.value(for: interface) {
            egressNumbers[interface] = number
        }
        for service in services.values {
            if let words = try words(of: service, in: plane) { slots[service.id] = words }
            if let turn = try plane.tables.turns.value(for: service.id) {
                turns[service.id] = Turns(taken: turn.taken, length: turn.length)
            }
            if service.hasAccessList { try readAccess(of: service, in: plane, flow.source) }
        }
        try readFlows(of: plane, flow)
        if services.values.contains(where: \.isFullNAT) { try readNAT(of: plane, flow) }
        try readBackends(of: plane)
    }

    private mutating func readSettings(of plane: XDPPlane) throws {
        guard let settings = try plane.tables.settings.value(for: 0) else { return }
        hashKey = settings.hash_key
        flowMask = settings.flow_mask & (MARTLET_FLOW_BUCKETS.rawValue - 1)
        repliesAreRedirected = settings.has(MARTLET_SETTING_REDIRECT_REPLIES)
        isFrozen = settings.has(MARTLET_SETTING_FROZEN)
        nat.asksReturns = settings.has(MARTLET_SETTING_NAT_RETURNS)
        nat.asksAddresses = settings.has(MARTLET_SETTING_NAT_ADDRESSES)
    }

    /// Those that have the address: a wider one is not asked, but shows which was the narrowest.
    private mutating func readVIPs(of plane: XDPPlane, _ address: IPAddress) throws {
        let bit = filterBit(of: address)
        let words = try MappedArray<UInt64>(plane.tables.vipFilter)
        if words[bit / 64] >> UInt64(bit % 64) & 1 == 1 { filter.insert(bit) }
        for key in try plane.tables.vips.keys() where key.asInModel.covers(address) {
            guard let value = try plane.tables.vips.value(for: key),
                let vip = value.asInModel(key.asInModel)
            else { continue }
            vips.append(vip)
        }
    }

    /// Whatever could be found for the flow, as packets find it.
    private mutating func readServices(of plane: XDPPlane, _ flow: Flow) throws {
        guard let transport = Transport(rawValue: flow.transport) else { return }
        var ends: [(IPAddress, UInt16)] = [(flow.destination, flow.destinationPort)]
        for vip in vips { ends += [(vip.base, flow.destinationPort), (vip.base, 0)] }
        for (address, port) in ends {
            let key = Balancing.ServiceKey(
                vip: address, port: port == 0 ? nil : port, transport: transport)
            guard let service = try plane.service(behind: key) else { continue }
            services[ServiceKey(address: address, port: port, transport: flow.transport)] =
                service.asInModel
        }
    }

    private func words(of service: Service, in plane: XDPPlane) throws -> [UInt32]? {
        guard try plane.hasSlots(ServiceID(service.id)) else { return nil }
        let table = try MappedArray<UInt32>(plane.slots(of: ServiceID(service.id)))
        return (0..<table.count).map { table[$0] }
    }

    private mutating func readAccess(
        of service: Service, in plane: XDPPlane, _ source: IPAddress
    ) throws {
        for key in try plane.tables.access.keys() where key.service == service.id {
            guard let prefix = key.asInModel, prefix.covers(source),
                let rule = try plane.tables.access.value(for: key)
            else { continue }
            access.append(
                AccessRule(
                    service: service.id, prefix: prefix,
                    isAllowed: rule == MARTLET_ACCESS_ALLOW.rawValue))
        }
    }

    /// The buckets in which the flow, or its client's affinity, can have an entry.
    private mutating func readFlows(of plane: XDPPlane, _ flow: Flow) throws {
        var client = flow
        client.sourcePort = 0
        let words = try MappedArray<UInt64>(plane.tables.flows)
        for hash in [flow, client].map({ flowHash(of: $0, key: hashKey) }) {
            for bucket in FlowPlaces(hash: hash, mask: flowMask).buckets {
                flows[bucket] = (0..<8).map { words[8 * Int(bucket) + $0] }
            }
        }
    }

    /// The addresses at which the flow can have a port, and those ports.
    private mutating func readNAT(of plane: XDPPlane, _ flow: Flow) throws {
        let places = NATPlaces(
            hash: flowHash(of: flow, key: hashKey), family: flow.destination.family)
        guard let share = try plane.tables.natShares.value(for: UInt32(places.share)) else {
            return
        }
        let (owner, former) = (UInt32(share.owner), UInt32(share.former))
        nat.shares[places.share] = NAT.Share(owner: owner, former: former)
        for number in Set([owner, former]) where number != 0 {
            nat.addresses[number] = try plane.tables.natSources.value(for: number)?.unmapped
            guard let table = try plane.natTable(number) else { continue }
            nat.tables.insert(number)
            let words = try MappedArray<UInt64>(table)
            for place in places.all(at: number) {
                nat.flows[place] = NATCell(at: place.port, of: words).flow
            }
        }
    }

    /// Those of the services, and whoever an entry names, with the way to each.
    private mutating func readBackends(of plane: XDPPlane) throws {
        let ids = Set(services.values.map(\.id))
        let named = Set(
            flows.values.joined().compactMap { FlowEntry(word: $0)?.backend }
                + nat.flows.values.map(\.backendID))
        let records = try MappedArray<UInt64>(plane.tables.backends)
        for index in 1..<plane.tables.backends.capacity {
            let record = records.value(at: index, as: martlet_backend.self)
            guard ids.contains(record.service) || named.contains(UInt32(index)),
                let backend = record.asInModel
            else { continue }
            let id = UInt32(index)
            backends[id] = backend
            loads[id] = try plane.tables.backendLoads.value(for: id)?.asInModel
            if egresses[backend.egress] == nil, backend.egress < MARTLET_EGRESS_LIMIT.rawValue {
                egresses[backend.egress] =
                    try plane.tables.egresses.value(for: backend.egress)?.asInModel
            }
        }
    }
}
