import BPF
import Balancing
import CDatapath
import Control
import Glibc
import Model
import Packets
import Testing
import XDPPlane

@testable import Explain

/// The whole of an explanation, with what the program itself says.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct ExplainerTests {
    /// All that the live program could have changed.
    private struct Traces: Equatable {
        var counters: PlaneCounters
        var events: FlowEvents
        var flows: [Int: UInt64] = [:]
        var turns: [UInt64] = []
        var loads: [BackendID: MeasuredLoad]
        var ports: [Int: UInt64] = [:]
        var contents: PlaneContents

        init(_ plane: XDPPlane) throws {
            counters = try plane.counters()
            events = try plane.flowEvents()
            loads = try plane.loads()
            contents = try plane.contents()
            let words = try MappedArray<UInt64>(plane.tables.flows)
            for index in 0..<words.count where words[index] != 0 { flows[index] = words[index] }
            let taken = try MappedArray<UInt64>(plane.tables.turns)
            turns = (0..<64).map { taken[$0] }
            for number in 1..<4 as Range<UInt32> {
                let table = try plane.natTable(number)
                guard let table else { continue }
                let words = try MappedArray<UInt64>(table)
                for index in 0..<words.count where words[index] != 0 {
                    ports[Int(number) << 24 + index] = words[index]
                }
            }
        }
    }

    @Test(
        arguments: [
            (.v4, .maglev, .l2DSR, .tcp), (.v6, .roundRobin, .gue, .udp),
            (.v6, .leastConnections, .nat, .tcp), (.v4, .maglev, .fullNAT, .tcp),
        ] as [(IPFamily, Scheduler, Forwarding, Transport)])
    func `an explanation is confirmed, and changes nothing`(
        family: IPFamily, scheduler: Scheduler, forwarding: Forwarding, transport: Transport
    ) async throws {
        let stage = try LiveStage(family, transport, forwarding, scheduler)
        try stage.setSlots(
            Slot(owner: stage.backends[0], former: stage.backends[1], looks: true))
        var query = stage.query
        for isNewFlow in [true, false] {
            query.isNewFlow = isNewFlow
            let before = try Traces(stage.plane)
            let told = try await stage.explain(query)
            #expect(told.isConfirmed)
            #expect(told.contradiction == nil)
            let after = try Traces(stage.plane)
            #expect(after == before)
            let sent = try stage.send(query)
            #expect(sent.verdict == told.verdict)
            #expect(sent.backend == told.backend)
        }
    }

    @Test func `a program that does something else contradicts`() async throws {
        let stage = try LiveStage(.v4, .tcp, .ipip)
        let honest = try await stage.explain()
        #expect(honest.isConfirmed)
        let others = stage.backends.map { UInt32($0.number) }
        let names = ["server-a", "server-b", "server-c"]
        let owner = try #require(names.firstIndex { $0 == honest.backend })
        let other = (owner + 1) % 3
        let (service, number) = (stage.service.number, others[other])
        let lies: [(String, @Sendable (inout Model.Tables) -> Void)] = [
            ("the program says PASS_NO_SERVICE", { ($0.services, $0.vips) = ([:], []) }),
            (
                "the program says DROP_NO_BACKEND",
                { $0.slots[service] = Array(repeating: 0, count: LiveStage.slots) }
            ),
            (
                "the program sends it to \(names[other])",
                { $0.slots[service] = Array(repeating: number, count: LiveStage.slots) }
            ),
            (
                "the program makes another packet of it",
                { tables in
                    for id in others { tables.backends[id]?.neighbour = [2, 0, 0, 0, 0, 0xcc] }
                }
            ),
            (
                "the program has it go another way",
                { tables in for id in tables.egresses.keys { tables.egresses[id]?.interface = 7 } }
            ),
        ]
        for (text, lie) in lies {
            let told = try await stage.explain(tamper: lie)
            #expect(!told.isConfirmed)
            #expect(told.contradiction?.hasPrefix(text) == true, "\(told.contradiction ?? "")")
            #expect(told.backend == honest.backend)
        }
    }

    @Test func `several are explained one after the other`() async throws {
        let stage = try LiveStage()
        let explainer = Explainer(plane: stage.plane)
        let told = try await withThrowingTaskGroup(of: Explanation.self) { group in
            for port in 0..<4 as Range<UInt16> {
                var query = stage.query
                query.sourcePort += port
                group.addTask { [query] in
                    try await explainer.explain(query, on: ["lo"], names: stage.names)
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(told.count == 4)
        #expect(told.allSatisfy { $0.isConfirmed })
    }

    @Test func `who asks in a loop is refused`() async throws {
        let stage = try LiveStage()
        let explainer = Explainer(plane: stage.plane)
        let refused = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<Explainer.mostWaiting + 3 {
                group.addTask {
                    do {
                        _ = try await explainer.explain(
                            stage.query, on: ["lo"], names: stage.names)
                        return false
                    } catch { return (error as? Refusal)?.kind == .conflict }
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(refused == 3)
    }

    @Test func `what can't be asked is refused`() async throws {
        let stage = try LiveStage(.v4, .tcp, .nat)
        var mixed = stage.query
        mixed.source = try address("2001:db8::7")
        var elsewhere = stage.query
        elsewhere.interface = "eth7"
        var answer = stage.query
        (answer.source, answer.sourcePort) = (try address("192.0.2.101"), 80)
        answer.destination = try address("198.51.100.7")
        for query in [mixed, elsewhere, answer] {
            await #expect(throws: Refusal.self) { try await stage.explain(query) }
        }
    }
}
