import BPF
import Balancing
import Glibc
import Packets
import Testing

@testable import XDPPlane

func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

/// A plane of the test's own: its maps have no pins, so nothing outlives it.
struct TestPlane {
    var plane: XDPPlane
    private var contents = PlaneContents()
    static let loopback: UInt32 = 1  // where a test run says that its packets come from

    init() throws { plane = try XDPPlane(takingOver: PinDirectory("/sys/fs/bpf/martlet-no-such")) }

    /// Has a service balanced over backends that all serve.
    mutating func add(
        vip: String, port: UInt16?, transport: Transport = .tcp, forwarding: Forwarding,
        backends: [String], serves: Bool = true, egress: UInt32? = TestPlane.loopback,
        mtu: UInt32 = 1500
    ) throws {
        let egress = egress.map {
            Egress(index: $0, name: "lo", address: MACAddress(0x02_0000_0000_AA), mtu: mtu)
        }
        try add(
            Service(
                name: "web", vip: VIP(try address(vip)), ports: port.map { Ports($0) } ?? .any,
                transport: transport, forwarding: forwarding, healthCheck: nil,
                backends: try backends.map { Backend(name: $0, address: try address($0)) }),
            serves: serves, egress: egress)
    }

    /// The interface that packets leave by where a test does not care.
    static let egress = Egress(
        index: loopback, name: "lo", address: MACAddress(0x02_0000_0000_AA), mtu: 1500)

    mutating func add(
        _ service: Service, serves: Bool = true, egress: Egress? = TestPlane.egress
    ) throws {
        try apply([try target(service, serves: serves, egress: egress)], others: .kept)
    }

    func target(
        _ service: Service, serves: Bool = true, egress: Egress? = TestPlane.egress
    ) throws -> Target {
        let (v4, v6) = (try address("192.0.2.1"), try address("2001:db8::1"))
        let members = service.backends.map {
            SlotTable.Member(address: $0.address, weight: $0.weight)
        }
        return Target(
            for: service, keys: service.frontend.keys,
            backends: service.backends.map { backend in
                let hop = egress.map {
                    NextHop(
                        egress: $0, neighbour: MACAddress(0x02_0000_0000_BB),
                        source: backend.address.family == .v4 ? v4 : v6)
                }
                return Target.Backend(backend, nextHop: hop)
            },
            slots: SlotTable(members: members, count: 1 << 16)
                .falling(from: members, to: members.map { _ in serves ? SlotTable.ready : 0 }))
    }

    mutating func apply(
        _ targets: [Target], others: Plan.Others, pool: Plan.Pool? = nil
    ) throws {
        try apply(Plan(from: contents, to: targets, others: others, pool: pool))
    }

    mutating func apply(_ plan: Plan) throws { for step in plan.steps { try apply(step) } }

    mutating func apply(_ step: Step) throws {
        try plane.apply(step)
        contents.apply(step)
    }

    var applied: PlaneContents { contents }

    /// Runs the program; what its only verdict was called, and what it made of the packet.
    func run(
        _ packet: [UInt8], from ingress: UInt32? = nil, metadata: Int = 0
    ) throws -> (verdict: String, result: Program.Result) {
        let before = try plane.verdicts()
        let result = try plane.program.run(on: packet, from: ingress, metadata: metadata)
        let after = try plane.verdicts()
        let packets = { (all: [PlaneCounters.Verdict]) in all.reduce(0) { $0 + $1.count.packets } }
        let bytes = { (all: [PlaneCounters.Verdict]) in all.reduce(0) { $0 + $1.count.bytes } }
        #expect(packets(after) == packets(before) + 1)
        #expect(bytes(after) == bytes(before) + UInt64(packet.count - metadata))
        let counted = zip(before, after).filter { $0.count != $1.count }
        #expect(counted.count == 1)
        return (counted.first?.1.name ?? "none", result)
    }
}

enum Action {
    static let drop: UInt32 = 1
    static let pass: UInt32 = 2
    static let transmit: UInt32 = 3
    static let redirect: UInt32 = 4
}
