import Testing

@testable import martlet_lab

/// What a client of held flows takes for an answer, and what for a break.
struct HeldFlowTests {
    private let start = ContinuousClock.now

    private func answer(
        _ number: UInt64, from backend: String = "server-a", flow: UInt64 = 7
    ) -> [UInt8] {
        Array("\(backend)\n".utf8) + Record(flow: flow, number: number).bytes
    }

    /// A flow that has sent so many records.
    private func flow(_ transport: HeldFlow.Transport, sent: Int) -> HeldFlow {
        var flow = HeldFlow(number: 7, transport: transport)
        for _ in 0..<sent { _ = flow.next(at: start) }
        return flow
    }

    @Test func `a record is 16 bytes that say which it is`() {
        let record = Record(flow: 0x0102, number: 0x0a00_0000_0000_000b)
        #expect(record.bytes == [0, 0, 0, 0, 0, 0, 1, 2, 10, 0, 0, 0, 0, 0, 0, 11])
        #expect(Record(record.bytes[...]) == record)
    }

    @Test func `answers come in any pieces`() throws {
        let stream = answer(1) + answer(2) + answer(3)
        for size in 1...stream.count {
            var flow = flow(.tcp, sent: 3)
            for piece in stride(from: 0, to: stream.count, by: size) {
                #expect(!flow.isQuiet)
                try flow.take(stream[piece..<min(piece + size, stream.count)], at: start)
            }
            #expect(flow.isQuiet && flow.backend == "server-a")
        }
    }

    @Test func `an answer that is missing, doubled, of another flow or not asked for is a break`() {
        for wrong in [answer(2), answer(1) + answer(1), answer(1, flow: 8), answer(1) + answer(3)] {
            var flow = flow(.tcp, sent: 2)
            #expect(throws: Break.disorder) { try flow.take(wrong[...], at: start) }
        }
        var asked = flow(.tcp, sent: 1)
        #expect(throws: Break.disorder) { try asked.take((answer(1) + answer(2))[...], at: start) }
    }

    @Test(arguments: [HeldFlow.Transport.tcp, .udp])
    func `another backend than the first is a break`(transport: HeldFlow.Transport) throws {
        var flow = flow(transport, sent: 1)
        try flow.take(answer(1)[...], at: start)
        _ = flow.next(at: start)
        #expect(throws: Break.stranger("server-b")) {
            try flow.take(answer(2, from: "server-b")[...], at: start)
        }
    }

    @Test func `a datagram is repeated until it is answered, and its second answer is none`()
        throws
    {
        var flow = HeldFlow(number: 7, transport: .udp)
        #expect(flow.next(at: start)?.number == 1)
        #expect(flow.next(at: start + .milliseconds(499)) == nil)
        #expect(flow.next(at: start + .milliseconds(500))?.number == 1)
        try flow.take(answer(1)[...], at: start)
        #expect(flow.next(at: start)?.number == 2)
        try flow.take(answer(1)[...], at: start)
        #expect(!flow.isQuiet)
        #expect(throws: Break.disorder) { try flow.take(answer(2).dropLast(), at: start) }
    }

    @Test func `a flow is overdue when nothing has come for the limit although something is due`()
        throws
    {
        var flow = flow(.tcp, sent: 2)
        #expect(!flow.isOverdue(at: start + .seconds(1), limit: .seconds(1)))
        #expect(flow.isOverdue(at: start + .seconds(2), limit: .seconds(1)))
        try flow.take(answer(1)[...], at: start + .seconds(2))
        #expect(!flow.isOverdue(at: start + .seconds(3), limit: .seconds(1)))
        try flow.take(answer(2)[...], at: start + .seconds(3))
        #expect(!flow.isOverdue(at: start + .seconds(100), limit: .seconds(1)))
    }

    @Test(
        arguments: [
            ("open 5", HoldOrder.open(5)), ("check", .check), ("close 3", .close(3, of: nil)),
            ("close all", .close(nil, of: nil)),
            ("close all server-b", .close(nil, of: "server-b")),
            ("close 2 server-b", .close(2, of: "server-b")), ("churn 0", .churn(0)),
        ])
    func `an order is read`(line: String, order: HoldOrder) {
        #expect(HoldOrder(line) == order)
    }

    @Test(
        arguments: [
            "", "open", "open all", "open -1", "open 1 2", "check 1", "close", "close some",
            "close 1 2 3", "churn all", "fly 1",
        ])
    func `what is no order is refused`(line: String) { #expect(HoldOrder(line) == nil) }

    @Test func `losses of one kind are counted together, with their first and last`() {
        var losses: [HoldReport.Loss] = []
        losses.add("a", "reset", at: 1)
        losses.add("b", "reset", at: 2)
        losses.add("a", "no answer", at: 3)
        losses.add("a", "reset", at: 4)
        #expect(
            losses == [
                .init(backend: "a", reason: "reset", count: 2, first: 1, last: 4),
                .init(backend: "b", reason: "reset", count: 1, first: 2, last: 2),
                .init(backend: "a", reason: "no answer", count: 1, first: 3, last: 3),
            ])
    }
}
