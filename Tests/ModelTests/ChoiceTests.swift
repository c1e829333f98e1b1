import CDatapath
import Model
import Packets
import Testing

private let syn: UInt8 = 0x02
private let ack: UInt8 = 0x10

/// docs/life-of-a-packet.md §6: which backend a new flow gets.
struct ChoiceTests {
    /// The flow from port 41000 has slot 54 of 64, and this is the next one.
    private static let slot = 54
    private static let next = 10

    /// A service that tracks, with 64 slots and these owners; nobody has the others.
    private func run(
        _ owners: [Int: UInt32], _ change: (inout Tables.Service) -> Void = { _ in }
    ) -> FlowRun {
        var run = FlowRun {
            $0.tracks = true
            change(&$0)
        }
        run.slots = (0..<64).map { owners[$0] ?? 0 }
        return run
    }

    // MARK: maglev

    @Test func `maglev tries the slot and its group, and if all there are full the next group`() {
        let order =
            Array(54..<64) + Array(48..<54) + Array(Self.next..<16) + Array(0..<Self.next)
        for (index, first) in order.enumerated() {
            // Who has all slots that come before is full; somebody else has those that come later.
            var owners = Dictionary(
                uniqueKeysWithValues: order.enumerated().map { ($1, $0 < index ? 9 : 1 as UInt32) })
            owners[first] = 7
            var run = run(owners)
            run.tables.loads[9] = .init(flows: 3, limit: 3)
            #expect(run.tcp(syn) == "7", "slot \(first)")
            #expect(run.last.slot == 54)
        }
        var run = run([31: 7, 0: 7, 16: 7, 10: 7])
        #expect(run.tcp(syn) == "DROP_NO_BACKEND", "nobody is there, and so nobody is full")
    }

    @Test func `in a table of fewer slots than a group has they all are the group`() {
        for slot in 0..<4 {
            var run = FlowRun { $0.tracks = true }
            run.slots = (0..<4).map { $0 == slot ? 7 : 0 }
            #expect(run.tcp(syn) == "7")
        }
    }

    @Test func `a backend is passed over while it has as many flows as it may`() {
        for (flows, limit, backend) in [
            (0, 0, "7"), (1000, 0, "7"), (4, 5, "7"), (5, 5, "8"), (6, 5, "8"), (0, 1, "7"),
            (.max, 5, "7"), (1 << 31, 5, "7"), (1 << 31 - 1, 5, "8"),
        ] as [(UInt32, UInt32, String)] {
            var run = run([54: 7, 55: 8])
            run.tables.loads[7] = .init(flows: flows, limit: limit)
            #expect(run.tcp(syn) == backend)
        }
    }

    @Test func `a flow that exists stays where it is, however full that is`() {
        var run = run([54: 7, 55: 8])
        run.tables.loads[7] = .init(limit: 1)
        #expect(run.tcp(syn) == "7")
        #expect(run.tcp(syn) == "7")
        #expect(run.tcp(ack) == "7")
        #expect(run.flows(of: 7) == 1)
    }

    @Test func `where all that could be had are full the verdict says so`() {
        var run = run([54: 7, 10: 8])
        for id in [7, 8] as [UInt32] { run.tables.loads[id] = .init(flows: 3, limit: 3) }
        for change in [{ _ in }, { $0.isRoundRobin = true }, { $0.isLeastCost = true }]
            as [(inout Tables.Service) -> Void]
        {
            run.setting.changeServices {
                ($0.isRoundRobin, $0.isLeastCost) = (false, false)
                change(&$0)
            }
            run.tables.turns[Setting.service] = .init(taken: 54, length: 0)
            #expect(run.tcp(syn) == "DROP_BACKENDS_FULL")
            #expect(run.entries() == [:])
        }
        run.slots = [UInt32](repeating: 0, count: 64)
        #expect(run.tcp(syn) == "DROP_NO_BACKEND")
    }

    @Test func `a slot that looks passes over full backends, too, and a settled one does not`() {
        var run = FlowRun(SlotWord.looking(9))
        run.slots[7] = SlotWord.looking(8)
        run.tables.loads[9] = .init(flows: 3, limit: 3)
        #expect(run.tcp(syn) == "8")
        #expect(run.entries() == [0: "h8"])
        run = FlowRun(9)
        run.tables.loads[9] = .init(flows: 3, limit: 3)
        #expect(run.tcp(syn) == "9")
    }

    // MARK: round-robin

    private func roundRobin(_ owners: [UInt32], length: UInt32 = 0, taken: UInt64 = 0) -> FlowRun {
        var run = FlowRun { ($0.tracks, $0.isRoundRobin) = (true, true) }
        run.slots = owners
        run.tables.turns[Setting.service] = .init(taken: taken, length: length)
        return run
    }

    private func backends(_ run: inout FlowRun, _ count: Int) -> [String] {
        (0..<count).map { run.tcp(syn, from: 41000 + $0) }
    }

    @Test func `round-robin takes one slot after the other, whatever the hash is`() {
        var run = roundRobin([1, 2, 3, 4, 5, 6, 7, 8])
        #expect(backends(&run, 10) == ["1", "2", "3", "4", "5", "6", "7", "8", "1", "2"])
        #expect(run.tables.turns[Setting.service]?.taken == 10)
        #expect(run.last.takesTurn)
    }

    @Test func `the order begins again after its length`() {
        var run = roundRobin([1, 2, 3, 4, 5, 6, 7, 8], length: 3, taken: 5)
        #expect(backends(&run, 5) == ["3", "1", "2", "3", "1"])
    }

    @Test func `who is full or nobody is passed over without a turn of its own`() {
        var run = roundRobin([1, 0, 3, 4], length: 4)
        run.tables.loads[3] = .init(flows: 1, limit: 1)
        #expect(backends(&run, 5) == ["1", "4", "4", "4", "1"])
        #expect(run.tables.turns[Setting.service]?.taken == 5)
    }

    @Test func `32 slots are tried, and a flow that gets none has taken its turn`() {
        var run = roundRobin((0..<64).map { $0 == 32 ? 7 : 0 })
        #expect(run.tcp(syn) == "DROP_NO_BACKEND")
        #expect(run.tcp(syn) == "7")
    }

    @Test func `only new flows take turns`() {
        var run = roundRobin([1, 2, 3, 4])
        #expect(run.tcp(syn) == "1")
        for flags in [syn, ack] { #expect(run.tcp(flags) == "1") }
        // In the slot of its hash is 3.
        #expect(run.tcp(ack, from: 41005) == "3")
        #expect(run.error() == "1")
        #expect(run.tables.turns[Setting.service]?.taken == 1)
    }

    @Test func `a flow for which there is no room goes to the slot of its hash`() {
        var run = roundRobin([1, 2, 3, 4])
        run.fill(0..<16)
        #expect(run.tcp(syn) == "3")
        #expect(run.tcp(ack) == "3")
    }

    // MARK: Least cost

    typealias Load = Tables.Load

    private func leastCost(_ owners: [Int: UInt32], _ loads: [UInt32: Load]) -> FlowRun {
        var run = run(owners) { $0.isLeastCost = true }
        run.tables.loads = loads
        return run
    }

    @Test func `a new flow goes to the backend with the fewest flows`() {
        var run = leastCost(
            [48: 1, 50: 2, 60: 3], [1: .init(flows: 3), 2: .init(flows: 1), 3: .init(flows: 2)])
        let got = (0..<6).map { index in
            // The same slot for all: only the loads differ.
            run.tables.flows = [:]
            return run.tcp(syn) + (index == 5 ? "." : "")
        }
        #expect(got.prefix(2) == ["2", "3"])
        #expect([1, 2, 3].map { run.flows(of: $0) } == [4, 4, 4])
    }

    @Test func `among equals it is the first from the flow's slot on`() {
        let order = Array(54..<64) + Array(48..<54)
        for (index, first) in order.enumerated() {
            var owners = Dictionary(uniqueKeysWithValues: order[index...].map { ($0, 1 as UInt32) })
            owners[first] = 7
            var run = leastCost(owners, [1: .init(flows: 5), 7: .init(flows: 5)])
            #expect(run.tcp(syn) == "7")
        }
    }

    @Test(
        arguments: [
            (Load(flows: 1), Load(flows: 0), "2"),
            (Load(flows: 1, weight: 2), Load(flows: 0), "1"),
            (Load(flows: 2, weight: 2), Load(flows: 0), "2"),
            (Load(flows: 2, weight: 2), Load(flows: 1), "1"),
            (Load(latency: 3), Load(flows: 1, latency: 1), "2"),
            (Load(latency: 3), Load(flows: 2, latency: 1), "1"),
            (Load(flows: 9, latency: 1000, weight: 3), Load(flows: 9, latency: 333), "2"),
            (Load(flows: 9, latency: 1000, weight: 3), Load(flows: 9, latency: 334), "1"),
            (Load(latency: 0), Load(latency: 1), "1"),
            (Load(flows: 1, latency: 0), Load(latency: 1), "2"),
            (Load(weight: 0), Load(weight: 1), "1"),
            (Load(flows: 1, weight: 0), Load(weight: 1), "2"),
            (Load(flows: .max), Load(flows: 0), "1"),
            (Load(flows: 1), Load(flows: .max), "2"),
            (Load(latency: 1 << 22 - 1), Load(latency: 1 << 22 - 2), "2"),
            (Load(latency: .max), Load(latency: 1 << 22 - 1), "1"),
            (Load(flows: 1 << 25 - 2), Load(flows: 1 << 25 - 3), "2"),
            (Load(flows: 1 << 26), Load(flows: 1 << 25 - 2), "1"),
            (
                Load(flows: 1 << 26, latency: .max, weight: 65534),
                Load(flows: 1 << 26, latency: .max, weight: 65535), "2"
            ),
        ] as [(Load, Load, String)])
    func `cost is latency times flows with the new one, by weight, without rounding`(
        one: Load, two: Load, cheaper: String
    ) {
        var run = leastCost([54: 1, 55: 2], [1: one, 2: two])
        #expect(run.tcp(syn) == cheaper)
    }

    @Test func `the next group is asked only if all in the first are full`() {
        var run = leastCost(
            [54: 1, 9: 2, 11: 3],
            [1: .init(flows: 9, limit: 10), 2: .init(flows: 1), 3: .init(flows: 1)])
        #expect(run.tcp(syn) == "1")
        run.tables.flows = [:]
        #expect(run.tcp(syn) == "3", "the first from slot 10 on")
    }

    // MARK: Affinity

    @Test func `with affinity maglev names the slot by the client without its port`() {
        var run = FlowRun { $0.hasClientAffinity = true }
        run.slots = [1, 2, 3, 4, 5, 6, 7, 8]
        let all = Set((0..<50).map { run.tcp(syn, from: 41000 + $0) })
        #expect(all.count == 1)
        #expect(run.last.hash != nil && run.entries() == [:])
        run.setting.changeServices { $0.hasClientAffinity = false }
        #expect(Set((0..<50).map { run.tcp(syn, from: 41000 + $0) }).count > 4)
        // The hash of the flow itself stays, for what else it is used for.
        run.setting.changeServices { $0.hasClientAffinity = true }
        run.tcp(syn)
        #expect(run.last.hash == FlowRun.hash)
    }

    /// Of c6336407 c0000264 0000 0050 06: the client without its port.
    private var clientHash: UInt64 {
        let client = IPAddress.v4(IPv4Address(0xC633_6407))
        return flowHash(
            of: Flow(source: client, destination: Setting.vip, destinationPort: 80, transport: 6),
            key: Setting().tables.hashKey)
    }

    private func affine(_ owners: [UInt32] = [1, 2, 3, 4]) -> FlowRun {
        var run = roundRobin(owners)
        run.setting.changeServices { $0.hasClientAffinity = true }
        return run
    }

    @Test func `new flows of a client go where its first one went`() {
        var run = affine()
        #expect(backends(&run, 5) == ["1", "1", "1", "1", "1"])
        #expect(run.tables.turns[Setting.service]?.taken == 1)
        #expect(run.entries(of: clientHash) == [0: "a1"])
        #expect(run.flows(of: 1) == 5, "affinity is no flow")
        #expect(run.send(ipv4(tcp(flags: syn), from: [198, 51, 100, 8])) == "2")
    }

    @Test func `a new flow renews the affinity of its client, others do not`() throws {
        var run = affine()
        run.tcp(syn)
        let place = FlowPlaces(hash: clientHash, mask: 0xff).all[0]
        func epoch() throws -> UInt32 {
            try #require(FlowEntry(word: run.tables.flows[place.bucket]?[place.lane] ?? 0)).epoch
        }
        run.now += 80
        run.tcp(ack)
        #expect(try epoch() == 1000)
        run.tcp(syn, from: 41001)
        #expect(try epoch() == 1010)
    }

    @Test(
        arguments: [
            (Load(), "1"), (Load(flows: 2, limit: 3), "1"), (Load(flows: 3, limit: 3), "2"),
            (Load(isClosed: true), "2"),
        ] as [(Load, String)])
    func `a client gets another backend when its own is closed or full`(
        load: Load, backend: String
    ) {
        var run = affine()
        run.tcp(syn, from: 41001)
        run.tables.loads[1] = load
        #expect(run.tcp(syn) == backend)
        #expect(run.entries(of: clientHash)[0] == "a" + backend)
        run.tables.loads[1] = .init()
        #expect(run.tcp(syn, from: 41002) == backend)
    }

    @Test func `a closed backend that still has slots gets flows by them`() {
        var run = affine([1, 1, 1, 1])
        run.tables.loads[1] = .init(isClosed: true)
        #expect(run.tcp(syn) == "1")
    }

    @Test func `affinity to a backend that is of another service now is forgotten`() {
        var run = affine()
        run.tcp(syn, from: 41001)
        run.tables.backends[1]?.service = 2
        #expect(run.tcp(syn) == "2")
        #expect(run.tcp(syn, from: 41002) == "2")
    }

    @Test func `where there is no room for an affinity the flow goes on without`() {
        var run = affine()
        let places = FlowPlaces(hash: clientHash, mask: 0xff)
        for bucket in places.buckets {
            let other = FlowEntry(
                backend: 9, slot: 0, state: MARTLET_FLOW_HALF_OPEN, epoch: 0, fingerprint: 0)
            run.tables.flows[bucket] = Array(repeating: other.word, count: 8)
        }
        #expect(run.tcp(syn) == "1")
        #expect(run.last.flowEvents == [MARTLET_FLOW_REFUSED, MARTLET_FLOW_MADE])
        #expect(run.tcp(syn, from: 41001) == "2")
    }

    @Test func `a client without a backend leaves no affinity`() {
        var run = affine([0, 0])
        #expect(run.tcp(syn) == "DROP_NO_BACKEND")
        #expect(run.tables.flows.isEmpty)
    }
}
