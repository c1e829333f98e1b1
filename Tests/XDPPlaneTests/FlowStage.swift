import BPF
import Balancing
import CDatapath
import Packets
import Testing

@testable import XDPPlane

/// A plane with one service over TCP, whose flows a test follows packet by packet.
///
/// The key of the hash is fixed: what flows share a bucket, or a slot, is the same in each run.
struct FlowStage {
    var plane: TestPlane
    let service: ServiceID
    let vip: IPAddress
    /// In the order in which they were given.
    let backends: [BackendID]
    private let places: [IPAddress: Int]
    private let base: [UInt8]

    /// - Parameters:
    ///   - backends: Addresses, all of one family.
    ///   - weights: 1 each, unless said.
    ///   - limit: Of each backend's flows; 0: none.
    ///   - buckets: How many of the flow table are in use.
    init(
        vip: String, forwarding: Forwarding, backends: [String], weights: [UInt16]? = nil,
        scheduler: Scheduler = .maglev, affinity: Affinity? = nil, limit: UInt32? = nil,
        buckets: UInt32 = MARTLET_FLOW_BUCKETS.rawValue
    ) throws {
        plane = try TestPlane()
        var settings = try #require(try plane.plane.tables.settings.value(for: 0))
        settings.hash_key = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908)
        settings.flow_mask = buckets - 1
        try plane.plane.tables.settings.set(settings, for: 0)
        self.vip = try address(vip)
        let addresses = try backends.map(address)
        let service = Service(
            name: "web", vip: VIP(self.vip), ports: Ports(80), scheduler: scheduler,
            affinity: affinity, forwarding: forwarding, healthCheck: nil,
            backends: addresses.enumerated().map { index, address in
                Backend(
                    name: "\(address)", address: address, weight: weights?[index] ?? 1,
                    maxConnections: limit)
            })
        var target = try plane.target(service)
        target.selection = service.selection
        for index in target.backends.indices { target.backends[index].load.limit = limit ?? 0 }
        let members = service.backends.map {
            SlotTable.Member(address: $0.address, weight: $0.weight)
        }
        (target.slots, target.turnLength) = SlotTable(members: members, count: 1 << 16).arranged(
            for: scheduler, members, members.map { _ in SlotTable.ready })
        let ours = vip.contains(":") ? "2001:db8:9::10" : "203.0.113.10"
        let pool = forwarding == .fullNAT ? [try address(ours)] : []
        try plane.apply(
            [target], others: .removed, pool: Plan.Pool(addresses: pool, use: NATUse()))
        try plane.apply(Plan(from: plane.applied, toExits: [TestPlane.loopback: TestPlane.egress]))
        let records = plane.applied.backends
        self.backends = try addresses.map { address in
            try #require(records.first { $0.value.address == address }?.key)
        }
        self.service = try #require(plane.applied.services.keys.first)
        places = Dictionary(uniqueKeysWithValues: zip(addresses, addresses.indices))
        var frame = Frame()
        frame.destination = self.vip
        frame.source = try address(vip.contains(":") ? "2001:db8:1::" : "10.0.0.0")
        frame.payload = Array(repeating: 0x78, count: 20)
        base = frame.bytes
    }

    private var isV4: Bool { vip.family == .v4 }
    /// Where the last 32 bits of the client's address stand.
    var clientOffset: Int { isV4 ? 14 + 12 : 14 + 8 + 12 }

    /// What the client with this number says: it is added to the first client's address.
    func packet(of client: UInt32, port: UInt16 = 41000, _ flags: TCPFlags) -> [UInt8] {
        var packet = base
        let segment = isV4 ? 14 + 20 : 14 + 40
        for byte in 0..<4 {
            packet[clientOffset + byte] = UInt8(
                truncatingIfNeeded: (0x0a00_0000 + client) >> (24 - 8 * byte))
        }
        packet[segment] = UInt8(port >> 8)
        packet[segment + 1] = UInt8(truncatingIfNeeded: port)
        packet[segment + 13] = flags.rawValue
        return packet
    }

    /// Which backend gets the packet, by the place in ``backends``; nil: none. It is told by the
    /// destination, so not where only MAC addresses are rewritten.
    @discardableResult
    func send(_ client: UInt32, port: UInt16 = 41000, _ flags: TCPFlags) throws -> Int? {
        let result = try plane.plane.program.run(on: packet(of: client, port: port, flags))
        guard result.action == Action.transmit else { return nil }
        return places[try #require(Ends(result.packet).destination)]
    }

    /// Gives every slot of the service this word.
    func setSlots(_ slot: Slot) throws {
        try plane.plane.apply(
            .writeSlots(service, (0..<1 << 16).map { SlotChange(slot: $0, to: slot) }))
    }

    /// How often each verdict was given.
    func verdicts() throws -> [String: UInt64] {
        let given = try plane.plane.verdicts().filter { $0.count.packets > 0 }
        return Dictionary(uniqueKeysWithValues: given.map { ($0.name, $0.count.packets) })
    }

    /// What is in the flow table.
    func entries() throws -> [FlowEntry] {
        let words = try MappedArray<UInt64>(plane.plane.tables.flows)
        var found: [FlowEntry] = []
        for index in 0..<words.count {
            let word = words[index]
            if word != 0 { found.append(FlowEntry(word: word)) }
        }
        return found
    }

    /// The number of open flows that the program has counted of each backend.
    func openFlows() throws -> [UInt32] {
        let loads = try plane.plane.loads()
        return backends.map { loads[$0]?.flows ?? 0 }
    }
}

/// Flags of a TCP segment (RFC 9293 §3.1).
struct TCPFlags: OptionSet {
    let rawValue: UInt8

    static let fin = TCPFlags(rawValue: 0x01)
    static let syn = TCPFlags(rawValue: 0x02)
    static let rst = TCPFlags(rawValue: 0x04)
    static let psh = TCPFlags(rawValue: 0x08)
    static let ack = TCPFlags(rawValue: 0x10)
}
