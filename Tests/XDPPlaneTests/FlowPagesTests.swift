import BPF
import Balancing
import CDatapath
import Glibc
import Packets
import Testing

@testable import XDPPlane

/// The recorded flows, page by page.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct FlowPagesTests {
    private func stage(_ forwarding: Forwarding = .ipip) throws -> FlowStage {
        try FlowStage(
            vip: "192.0.2.100", forwarding: forwarding,
            backends: ["192.168.1.101", "192.168.1.102"],
            scheduler: forwarding == .fullNAT ? .maglev : .roundRobin)
    }

    /// All pages of the query, and how many there were.
    private func all(
        _ plane: XDPPlane, _ query: FlowQuery
    ) throws -> (flows: [RecordedFlow], pages: Int) {
        var (query, flows, pages) = (query, [RecordedFlow](), 0)
        while true {
            let page = try plane.flows(query)
            #expect(page.flows.count <= query.limit)
            flows += page.flows
            pages += 1
            guard let next = page.next else { return (flows, pages) }
            #expect(next > query.cursor)
            query.cursor = next
        }
    }

    @Test(arguments: [1, 7, 1000])
    func `every recorded flow is on exactly one page`(limit: Int) throws {
        let stage = try stage()
        for client in 1...50 as ClosedRange<UInt32> {
            try stage.send(client, .syn)
            if client % 2 == 0 { try stage.send(client, .ack) }
            if client % 10 == 0 { try stage.send(client, [.fin, .ack]) }
        }
        let plane = stage.plane.plane
        let flows = try all(plane, FlowQuery(limit: limit)).flows
        #expect(flows.count == 50)
        #expect(flows.count { $0.state == .halfOpen } == 25)
        #expect(flows.count { $0.state == .established } == 20)
        #expect(flows.count { $0.state == .closing } == 5)
        #expect(flows.allSatisfy { $0.idle < .seconds(20) && $0.slot != nil && $0.client == nil })
        #expect(Set(flows.map(\.backend)) == Set(stage.backends))
        for backend in stage.backends {
            let own = try all(plane, FlowQuery(backends: [backend], limit: limit)).flows
            #expect(own == flows.filter { $0.backend == backend })
        }
        let closing = try all(plane, FlowQuery(states: [.closing], limit: limit)).flows
        #expect(closing == flows.filter { $0.state == .closing })
    }

    @Test func `a page ends in time though nothing matches`() throws {
        let stage = try stage()
        let plane = stage.plane.plane
        let first = try plane.flows(FlowQuery(limit: 10))
        #expect(first.flows.isEmpty)
        #expect(first.next == UInt64(FlowScan.mostWords))
        let (flows, pages) = try all(plane, FlowQuery(limit: 10))
        #expect(flows.isEmpty)
        #expect(pages == plane.flowTable.words.count / FlowScan.mostWords + 1)
    }

    @Test func `a cursor beyond the end is the end`() throws {
        let page = try stage().plane.plane.flows(FlowQuery(cursor: .max, limit: 10))
        #expect(page == RecordedFlows(flows: [], next: nil))
    }

    @Test func `flows that come and go meanwhile hide no other`() throws {
        let stage = try stage()
        for client in 1...40 as ClosedRange<UInt32> { try stage.send(client, .syn) }
        let plane = stage.plane.plane
        let before = try all(plane, FlowQuery()).flows
        var (query, seen) = (FlowQuery(limit: 3), [RecordedFlow]())
        var client: UInt32 = 1000
        while true {
            let page = try plane.flows(query)
            seen += page.flows
            client += 1
            try stage.send(client, .syn)
            guard let next = page.next else { break }
            query.cursor = next
        }
        let places = { (flows: [RecordedFlow]) in
            flows.reduce(into: [:] as [String: Int]) {
                $0["\($1.backend.number) \($1.slot ?? 0)", default: 0] += 1
            }
        }
        let counts = places(seen)
        for (place, count) in places(before) { #expect(counts[place] ?? 0 >= count) }
    }

    @Test func `flows of full-nat are told with their addresses`() throws {
        let stage = try stage(.fullNAT)
        for client in 1...5 as ClosedRange<UInt32> { try stage.send(client, .syn) }
        let flows = try all(stage.plane.plane, FlowQuery(limit: 2)).flows
        #expect(flows.count == 5)
        let clients = Set(flows.compactMap(\.client))
        let expected = try Set((1...5).map { try address("10.0.0.\($0)") })
        #expect(clients == expected)
        #expect(flows.allSatisfy { $0.clientPort == 41000 && $0.state == .halfOpen })
        let ours = try address("203.0.113.10")
        #expect(flows.allSatisfy { $0.natAddress == ours })
        #expect(Set(flows.compactMap(\.natPort)).count == 5)
        #expect(flows.allSatisfy { ($0.natPort ?? 0) >= 1024 })
        let (a, b) = (stage.backends[0], stage.backends[1])
        let own = try all(stage.plane.plane, FlowQuery(backends: [a], limit: 9)).flows
        let other = try all(stage.plane.plane, FlowQuery(backends: [b], limit: 9)).flows
        #expect(own.count + other.count == 5)
    }
}
