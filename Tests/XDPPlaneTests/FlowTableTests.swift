import BPF
import Balancing
import CDatapath
import Glibc
import Packets
import Testing

@testable import XDPPlane

/// The sweep of the tables that the program has.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct FlowTableTests {
    /// A service with two backends that balances TCP.
    private static func makePlane(_ forwarding: Forwarding = .ipip) throws -> TestPlane {
        var plane = try TestPlane()
        try plane.add(
            vip: "192.0.2.100", port: 80, forwarding: forwarding,
            backends: ["192.168.1.101", "192.168.1.102"])
        return plane
    }

    private static func backends(of plane: TestPlane) throws -> (a: BackendID, b: BackendID) {
        let ids = plane.applied.backends.keys.sorted()
        try #require(ids.count == 2)
        return (ids[0], ids[1])
    }

    /// Orders for the only service, of which every flow has an entry.
    private static func orders(
        _ plane: TestPlane, lost: Set<BackendID> = []
    ) throws -> SweepOrders {
        let service = try #require(plane.applied.services.keys.first)
        let slots = try #require(plane.applied.services[service]?.slots)
        return SweepOrders(
            services: [
                service: SweepOrders.Service(tracks: true, limits: FlowLimits(), slots: slots)
            ], lost: lost)
    }

    private static func entry(
        _ backend: BackendID, age: UInt64 = 0, state: martlet_flow_state = MARTLET_FLOW_ESTABLISHED
    ) -> FlowEntry {
        FlowEntry(
            fingerprint: 1, epoch: FlowEpoch(UInt64(FlowEpoch.now.number) + 4096 - age),
            state: state, slot: 3, backend: backend)
    }

    /// Writes the entries into buckets all over the table, as a packet would.
    private static func put(_ entries: [FlowEntry], into plane: XDPPlane) throws {
        for (number, entry) in entries.enumerated() {
            let bucket = UInt32(number * 40_503 % plane.tables.flows.capacity)
            var value = try #require(try plane.tables.flows.value(for: bucket))
            value.word.5 = entry.word
            try plane.tables.flows.set(value, for: bucket)
        }
    }

    private static func setFlows(_ count: UInt32, of backend: BackendID, in plane: XDPPlane) throws
    {
        let number = UInt32(backend.number)
        var load = try #require(try plane.tables.backendLoads.value(for: number))
        load.flows = count
        try plane.tables.backendLoads.set(load, for: number)
    }

    private static func flows(of backend: BackendID, in plane: XDPPlane) throws -> UInt32? {
        try plane.tables.backendLoads.value(for: UInt32(backend.number))?.flows
    }

    @Test func `what is in the kernel's table is counted, and what is over leaves it`() throws {
        let plane = try Self.makePlane()
        let (a, b) = try Self.backends(of: plane)
        let entries =
            (0..<500).map { _ in Self.entry(a) } + (0..<300).map { _ in Self.entry(b) }
            + (0..<200).map { _ in Self.entry(a, age: 2000) }
        try Self.put(entries, into: plane.plane)
        let orders = try Self.orders(plane)
        let report = try plane.plane.sweep(orders)
        #expect(report.entries == 800)
        #expect(report.expired == 200)
        #expect(report.capacity == 1 << 21)
        #expect(report.flows[a]?.established == 500)
        #expect(report.flows[b]?.established == 300)
        let again = try plane.plane.sweep(orders)
        #expect(again.entries == 800)
        #expect(again.expired == 0)
        let lost = try plane.plane.sweep(Self.orders(plane, lost: [b]))
        #expect(lost.lost == 300)
        #expect(lost.flows.keys.sorted() == [a])
    }

    @Test func `the numbers that the program counts become those of the table`() throws {
        let plane = try Self.makePlane()
        let (a, b) = try Self.backends(of: plane)
        try Self.put(
            [Self.entry(a), Self.entry(a, age: 2000), Self.entry(a, state: MARTLET_FLOW_CLOSING)],
            into: plane.plane)
        // One too many, and one less than none.
        try Self.setFlows(3, of: a, in: plane.plane)
        try Self.setFlows(.max, of: b, in: plane.plane)
        _ = try plane.plane.sweep(Self.orders(plane))
        #expect(try Self.flows(of: a, in: plane.plane) == 1)
        #expect(try Self.flows(of: b, in: plane.plane) == 0)
        #expect(try plane.plane.loads()[a]?.flows == 1)
    }

    @Test func `a forgotten backend has no entry left, and its flows are taken off`() throws {
        var plane = try Self.makePlane()
        let (a, b) = try Self.backends(of: plane)
        try Self.put([a, b, a, b, a].map { Self.entry($0) }, into: plane.plane)
        try Self.setFlows(5, of: a, in: plane.plane)
        try Self.setFlows(2, of: b, in: plane.plane)
        try plane.plane.apply(.forgetFlows(of: [a]))
        #expect(try Self.flows(of: a, in: plane.plane) == 2)
        #expect(try Self.flows(of: b, in: plane.plane) == 2)
        let report = try plane.plane.sweep(Self.orders(plane))
        #expect(report.entries == 2)
        #expect(report.flows[b]?.established == 2)
        // And with its record gone, so are those of the other one.
        try plane.apply([], others: .removed)
        try Self.put([Self.entry(b)], into: plane.plane)
        #expect(try plane.plane.sweep(SweepOrders()).lost >= 1)
        #expect(try plane.plane.sweep(SweepOrders()).entries == 0)
    }

    /// Writes an established flow into a place of the NAT address with that number.
    private static func putNATFlow(
        to backend: BackendID, at address: IPAddress, lane: Int, of number: UInt32,
        in plane: XDPPlane
    ) throws {
        guard
            let table = try plane.natTable(number)
        else { throw Failure("find", "NAT table", because: "there is none", cure: nil) }
        let words = try MappedArray<UInt64>(table)
        let first = 5000 * MemoryLayout<martlet_nat_bucket>.size / 8
        var flow = martlet_nat_flow()
        flow.backend = martlet_address(mapping: address)
        (flow.vip_port, flow.backend_port) = (UInt16(80).bigEndian, UInt16(80).bigEndian)
        flow.backend_id = backend.number
        withUnsafeBytes(of: flow) { bytes in
            for word in 0..<8 {
                words[first + 8 + lane * 8 + word] = bytes.loadUnaligned(
                    fromByteOffset: word * 8, as: UInt64.self)
            }
        }
        words[first + lane] =
            UInt64(coarseTime()) << UInt64(MARTLET_NAT_TIME_SHIFT.rawValue)
            | UInt64(MARTLET_NAT_ESTABLISHED.rawValue)
    }

    @Test func `flows of full-nat are counted where they are`() throws {
        let plane = try Self.makePlane(.fullNAT)
        let (a, b) = try Self.backends(of: plane)
        try plane.plane.add(try address("192.0.2.200"), as: NATAddressID(3))
        try plane.plane.add(try address("192.0.2.201"), as: NATAddressID(4))
        for (number, lane) in [(3, 0), (3, 1), (3, 2), (4, 2), (4, 3), (4, 4), (4, 7)] {
            let backend = lane % 2 == 0 ? a : b
            let end = try #require(plane.applied.backends[backend]?.address)
            try Self.putNATFlow(
                to: backend, at: end, lane: lane, of: UInt32(number), in: plane.plane)
        }
        let report = try plane.plane.sweep(SweepOrders())
        #expect(report.flows[a]?.established == 4)
        #expect(report.flows[b]?.established == 3)
        #expect(report.entries == 0)
        #expect(try Self.flows(of: a, in: plane.plane) == 4)
        #expect(try Self.flows(of: b, in: plane.plane) == 3)
    }
}
