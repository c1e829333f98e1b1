import BPF
import Balancing
import CDatapath
import Control
import Model
import ModelMaps
import Packets
import Testing
import XDPPlane

@testable import Explain

func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

/// A loaded program of the test's own with a service, over whose loopback packets come and go.
struct LiveStage {
    let plane: XDPPlane
    let service: ServiceID
    /// In the order of their names: `server-a`, `server-b`, `server-c`.
    let backends: [BackendID]
    let names: [ServiceID: Names]
    let query: ExplainQuery

    static let interface: UInt32 = 1
    static let slots = 1 << 8
    private static let egress = Egress(
        index: interface, name: "lo", address: MACAddress(0x02_0000_0000_AA), mtu: 1500)

    init(
        _ family: IPFamily = .v4, _ transport: Transport = .tcp, _ forwarding: Forwarding = .ipip,
        _ scheduler: Scheduler = .maglev, affinity: Affinity? = nil, isNewFlow: Bool = true,
        change: (inout Service) -> Void = { _ in }
    ) throws {
        plane = try XDPPlane(takingOver: PinDirectory("/sys/fs/bpf/martlet-no-such"))
        let isV4 = family == .v4
        query = ExplainQuery(
            source: try address(isV4 ? "198.51.100.7" : "2001:db8:2::7"), sourcePort: 41000,
            destination: try address(isV4 ? "192.0.2.100" : "2001:db8::100"),
            destinationPort: 80, transport: transport, isNewFlow: isNewFlow, interface: "lo")
        var described = Service(
            name: "web", vip: VIP(query.destination), ports: Ports(80), transport: transport,
            scheduler: scheduler, affinity: affinity, forwarding: forwarding, healthCheck: nil,
            backends: [])
        for (number, letter) in ["a", "b", "c"].enumerated() {
            let text = isV4 ? "192.0.2.\(101 + number)" : "2001:db8::\(101 + number)"
            described.backends.append(
                Backend(name: "server-\(letter)", address: try address(text)))
        }
        change(&described)
        let ours = try address(isV4 ? "203.0.113.10" : "2001:db8:9::10")
        let target = try Self.target(for: described, source: ours)
        let pool = Plan.Pool(
            addresses: forwarding == .fullNAT ? [ours] : [], use: NATUse())
        var contents = PlaneContents()
        let plan = try Plan(from: contents, to: [target], others: .removed, pool: pool)
        for step in plan.steps {
            try plane.apply(step)
            contents.apply(step)
        }
        try plane.apply(.setExits([Self.interface: Self.egress]))
        service = try #require(contents.services.keys.first)
        var numbers: [BackendID] = []
        for backend in described.backends {
            let record = contents.backends.first { $0.value.address == backend.address }
            numbers.append(try #require(record).key)
        }
        backends = numbers
        names = [service: Names(described)]
    }

    private static func target(for service: Service, source: IPAddress) throws -> Target {
        let members = service.backends.map {
            SlotTable.Member(address: $0.address, weight: $0.weight)
        }
        let (table, turns) = SlotTable(members: members, count: slots).arranged(
            for: service.scheduler, members, members.map { _ in SlotTable.ready })
        let hop = NextHop(
            egress: egress, neighbour: MACAddress(0x02_0000_0000_BB), source: source)
        return Target(
            for: service, keys: service.frontend.keys, selection: service.selection,
            backends: service.backends.map {
                Target.Backend(
                    $0, nextHop: hop, load: PlaneContents.Load(limit: $0.maxConnections ?? 0))
            },
            slots: table, turnLength: turns)
    }

    func explain(
        _ query: ExplainQuery? = nil,
        tamper: @escaping @Sendable (inout Model.Tables) -> Void = { _ in }
    ) async throws -> Explanation {
        try await Explainer(plane: plane, tamper: tamper).explain(
            query ?? self.query, on: ["lo"], names: names)
    }

    /// The same without asking the program.
    func tell(_ query: ExplainQuery) throws -> Explanation {
        try narrate(query, Arrival(of: query, on: ["lo"]), names, plane).explanation
    }

    /// Gives every slot of the service this word.
    func setSlots(_ slot: Slot) throws {
        try plane.apply(
            .writeSlots(service, (0..<Self.slots).map { SlotChange(slot: $0, to: slot) }))
    }

    /// Gives the flow, or its client, an entry.
    func addEntry(_ state: martlet_flow_state, of backend: BackendID) throws {
        let settings = try #require(try plane.tables.settings.value(for: 0))
        var flow = query.flow
        if state == MARTLET_FLOW_AFFINITY { flow.sourcePort = 0 }
        let hash = flowHash(of: flow, key: settings.hash_key)
        let place = FlowPlaces(hash: hash, mask: settings.flow_mask).all[3]
        let words = try MappedArray<UInt64>(plane.tables.flows)
        words[8 * Int(place.bucket) + place.lane] =
            Model.FlowEntry(
                backend: UInt32(backend.number),
                slot: UInt32(truncatingIfNeeded: hash) & UInt32(Self.slots - 1), state: state,
                epoch: UInt32(FlowEpoch.now.number), fingerprint: UInt32(hash >> 46)
            ).word
    }

    /// Removes all entries that the flow and its client can have.
    func forget() throws {
        let tables = try Model.Tables(plane, for: query.flow, from: Self.interface)
        let words = try MappedArray<UInt64>(plane.tables.flows)
        for bucket in tables.flows.keys {
            for lane in 0..<8 { words[8 * Int(bucket) + lane] = 0 }
        }
    }

    /// Has the live program make something of the packet; tells the verdict, the backend that it
    /// counted for, and the frame.
    func send(
        _ query: ExplainQuery? = nil
    ) throws -> (verdict: String?, backend: String?, packet: [UInt8]) {
        let (verdicts, packets) = (try plane.verdicts(), try packets())
        let frame = (query ?? self.query).frame(to: nil)
        let result = try plane.program.run(on: frame, from: Self.interface)
        let verdict = zip(verdicts, try plane.verdicts()).first { $0.count != $1.count }
        let now = try self.packets()
        let backend = packets.indices.first { packets[$0] != now[$0] }
        return (
            verdict?.1.name, backend.map { "server-\(["a", "b", "c"][$0])" }, result.packet
        )
    }

    /// What was forwarded to each of the backends.
    private func packets() throws -> [UInt64] {
        try backends.map { backend in
            try plane.tables.backendCounters.perCPU(UInt32(backend.number))
                .reduce(0) { $0 + $1.packets }
        }
    }
}
