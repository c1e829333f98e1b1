import BPF
package import Balancing
import CDatapath
package import Model
import Packets
package import XDPPlane

// The tables of the model, written into the maps of the program.

extension Model.Tables {
    /// Writes them into the maps of a plane that holds nothing, but for the index of the services:
    /// see ``keys``.
    package func write(into plane: XDPPlane) throws {
        try writeSettings(into: plane)
        for (id, egress) in egresses {
            try plane.tables.egresses.set(martlet_egress(egress), for: id)
        }
        for (id, backend) in backends {
            try plane.tables.backends.set(martlet_backend(backend), for: id)
        }
        for (service, words) in slots {
            try plane.addSlots(to: ServiceID(service), count: words.count)
        }
        try writeSlots(into: plane, upTo: .max)
        try writeVIPs(into: plane)
        try writeNAT(into: plane)
        try writeFlows(into: plane)
        try writeServices(into: plane)
        for rule in access {
            try plane.tables.access.set(
                rule.isAllowed ? MARTLET_ACCESS_ALLOW.rawValue : MARTLET_ACCESS_DENY.rawValue,
                for: martlet_access_key(rule))
        }
    }

    /// Under which its services are found.
    package var keys: [Balancing.ServiceKey] {
        services.keys.compactMap { key in
            Transport(rawValue: key.transport).map {
                Balancing.ServiceKey(
                    vip: key.address, port: key.port == 0 ? nil : key.port, transport: $0)
            }
        }
    }

    package func writeSettings(into plane: XDPPlane) throws {
        try plane.tables.settings.set(martlet_settings(self), for: 0)
    }

    private func writeServices(into plane: XDPPlane) throws {
        for (key, service) in services {
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
    }

    private func writeVIPs(into plane: XDPPlane) throws {
        for vip in vips {
            try plane.tables.vips.set(martlet_vip(vip), for: martlet_vip_key(vip.prefix))
        }
        let words = try MappedArray<UInt64>(plane.tables.vipFilter)
        for bit in filter { words[bit / 64] |= 1 << UInt64(bit % 64) }
    }

    /// Writes what §6 of docs/life-of-a-packet.md goes by.
    package func writeFlows(into plane: XDPPlane) throws {
        let words = try MappedArray<UInt64>(plane.tables.flows)
        for (bucket, entries) in flows {
            for (lane, word) in entries.enumerated() { words[8 * Int(bucket) + lane] = word }
        }
        for (id, load) in loads {
            try plane.tables.backendLoads.set(martlet_load(load), for: id)
        }
        for (id, turns) in turns {
            try plane.tables.turns.set(
                martlet_turns(taken: turns.taken, length: turns.length, unused: 0), for: id)
        }
    }

    /// Those of services that have at most `count`.
    package func writeSlots(into plane: XDPPlane, upTo count: Int) throws {
        for (service, words) in slots where words.count <= count {
            let slots = try MappedArray<UInt32>(plane.slots(of: ServiceID(service)))
            for (index, word) in words.enumerated() { slots[index] = word }
        }
    }

    private func writeNAT(into plane: XDPPlane) throws {
        for (interface, number) in egressNumbers {
            try plane.tables.egressNumbers.set(number, for: interface)
        }
        for (from, to) in nat.returns {
            try plane.tables.natReturns.set(
                martlet_nat_return(
                    vip: martlet_address(mapping: to.vip), port: to.port.bigEndian, zero: 0),
                for: martlet_nat_key(
                    backend: martlet_address(mapping: from.address), port: from.port.bigEndian,
                    protocol: from.transport, zero: 0))
        }
        for (number, address) in nat.addresses {
            try plane.tables.natSources.set(martlet_address(mapping: address), for: number)
        }
        for (address, number) in nat.numbers {
            try plane.tables.natAddresses.set(number, for: martlet_address(mapping: address))
        }
        for (index, share) in nat.shares {
            try plane.tables.natShares.set(
                martlet_nat_share(owner: UInt16(share.owner), former: UInt16(share.former)),
                for: UInt32(index))
        }
        for number in nat.tables { try writeNATTable(number, into: plane) }
    }

    private func writeNATTable(_ number: UInt32, into plane: XDPPlane) throws {
        let table = try Map<UInt32, martlet_nat_bucket>(
            creating: .array, named: "nat", capacity: Int(MARTLET_NAT_BUCKETS.rawValue),
            flags: .mappable)
        let words = try MappedArray<UInt64>(table)
        for (place, flow) in nat.flows where place.address == number {
            NATCell(flow).write(at: place.port, of: words)
        }
        try plane.tables.natTables.set(inner: table, for: number)
    }
}
