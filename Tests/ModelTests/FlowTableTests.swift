import CDatapath
import Model
import Packets
import Testing

private let syn: UInt8 = 0x02
private let ack: UInt8 = 0x10
private let fin: UInt8 = 0x11
private let reset: UInt8 = 0x04

/// docs/life-of-a-packet.md §6: flows that are remembered.
struct FlowTableTests {
    // MARK: Words and places

    @Test func `an entry has its fields where the document draws them`() {
        let entry = FlowEntry(
            backend: 0x1234, slot: 0xabcd, state: MARTLET_FLOW_ESTABLISHED, epoch: 0x567,
            fingerprint: 0x2aaaa)
        #expect(entry.word == 0xaaaa_959d_55e6_9234)
        #expect(FlowEntry(word: 0xaaaa_959d_55e6_9234) == entry)
        #expect(FlowEntry(word: 0) == nil)
    }

    /// 0xcc1ce97295cd13b6: the fingerprint is 0x33073, and 0x295cd its bucket of all.
    @Test(
        arguments: [
            (0x3ffff, [0x295cd, 0x14310]), (0xff, [0xcd, 0x10]), (1, [1, 0]), (0, [0, 0]),
        ] as [(UInt32, [UInt32])])
    func `the hash names two buckets under the mask`(mask: UInt32, buckets: [UInt32]) {
        let places = FlowPlaces(hash: FlowRun.hash, mask: mask)
        #expect(places.fingerprint == 0x33073)
        #expect(places.buckets == buckets)
        #expect(places.all.map(\.lane) == Array(0..<8) + Array(0..<8))
    }

    @Test func `each bucket of a flow leads to the other`() {
        for hash in stride(from: 1, to: UInt64.max / 2, by: 0x0123_4567_89ab_cdef) {
            let places = FlowPlaces(hash: hash, mask: 0x3ffff)
            // A hash with the same fingerprint whose first bucket is the second of that one.
            let other = (hash >> 46) << 46 | UInt64(places.buckets[1]) << 16
            #expect(
                FlowPlaces(hash: other, mask: 0x3ffff).buckets == places.buckets.reversed())
        }
    }

    // MARK: Whether it is looked at

    @Test func `in a settled slot the owner has every flow, and nothing is read or written`() {
        for word in [9, 9 | 8 << 16, 9 | 8 << 16 | 1 << 31] as [UInt32] {
            var run = FlowRun(word)
            run.put(run.entry(MARTLET_FLOW_ESTABLISHED, of: 7))
            for flags in [syn, ack, fin, reset] { #expect(run.tcp(flags) == "9") }
            #expect(run.udp() == "9")
            #expect(run.error() == "9")
            #expect(run.entries() == [0: "e7"])
            #expect(run.tables.loads.isEmpty)
        }
    }

    @Test func `an entry has the flow if the slot's word says look or the service tracks`() {
        for (word, tracks) in [(SlotWord.looking(9), false), (9, true)] {
            var run = FlowRun(word) { $0.tracks = tracks }
            run.put(run.entry(MARTLET_FLOW_ESTABLISHED, of: 7))
            #expect(run.tcp(ack) == "7")
            #expect(run.tcp(ack, from: 41001) == "9")
        }
    }

    // MARK: What is found

    @Test func `only an entry with fingerprint, slot, state and service of the flow is its own`() {
        let changes: [(String, (inout FlowEntry) -> Void)] = [
            ("7", { _ in }),
            ("7", { $0.state = MARTLET_FLOW_HALF_OPEN }),
            ("7", { $0.state = MARTLET_FLOW_CLOSING }),
            ("7", { $0.state = MARTLET_FLOW_DATAGRAMS }),
            ("7", { $0.epoch = 4095 }),
            ("8", { $0.state = MARTLET_FLOW_AFFINITY }),
            ("8", { $0.fingerprint ^= 1 }),
            ("8", { $0.fingerprint ^= 1 << 17 }),
            ("8", { $0.slot = 7 }),
            ("8", { $0.slot |= 1 << 15 }),
            ("8", { $0.backend = 10 }),
            ("8", { $0.backend = 100 }),
        ]
        for (backend, change) in changes {
            for index in [0, 7, 8, 15] {
                var run = FlowRun(SlotWord.looking(9, former: 8))
                var entry = run.entry(MARTLET_FLOW_ESTABLISHED, of: 7)
                change(&entry)
                run.put(entry, at: index)
                #expect(run.tcp(ack) == backend)
            }
        }
    }

    @Test func `the first place that has an entry counts`() {
        var run = FlowRun(SlotWord.looking(9))
        for (index, backend) in [(15, 1), (9, 2), (7, 3), (3, 4)] as [(Int, UInt32)] {
            run.put(run.entry(MARTLET_FLOW_ESTABLISHED, of: backend), at: index)
            #expect(run.tcp(ack) == String(backend))
        }
    }

    // MARK: With an entry (1, 2)

    @Test(
        arguments: [
            ("h", 0x02, "h", 0), ("h", 0x10, "e", 0), ("h", 0x12, "e", 0), ("h", 0x11, "c", -1),
            ("h", 0x04, "c", -1), ("h", 0x03, "c", -1), ("e", 0x02, "e", 0), ("e", 0x10, "e", 0),
            ("e", 0x11, "c", -1), ("e", 0x14, "c", -1), ("d", 0x10, "d", 0), ("c", 0x10, "c", 0),
            ("c", 0x11, "c", 0), ("c", 0x04, "c", 0), ("c", 0x12, "c", 0),
        ] as [(String, UInt8, String, Int)])
    func `a packet renews its entry, and the first FIN or RST takes a flow from the backend`(
        before: String, flags: UInt8, after: String, change: Int
    ) throws {
        let states = [
            "h": MARTLET_FLOW_HALF_OPEN, "e": MARTLET_FLOW_ESTABLISHED,
            "c": MARTLET_FLOW_CLOSING, "d": MARTLET_FLOW_DATAGRAMS,
        ]
        var run = FlowRun(SlotWord.looking(9, former: 8))
        run.put(run.entry(try #require(states[before]), of: 7), at: 2)
        run.tables.loads[7] = .init(flows: 5)
        #expect(run.tcp(flags) == "7")
        #expect(run.entries() == [2: after + "7"])
        #expect(run.last.flowWords.values.map { $0 >> 34 & 4095 } == [1000])
        #expect(run.flows(of: 7) == 5 + change)
    }

    @Test func `the epoch has twelve bits of the time`() {
        var run = FlowRun(SlotWord.looking(9))
        run.put(run.entry(MARTLET_FLOW_ESTABLISHED, of: 7))
        run.now = (5 << 12 | 0xabc) << 3 | 7
        run.tcp(ack)
        #expect(run.last.flowWords.values.map { $0 >> 34 & 4095 } == [0xabc])
    }

    @Test func `a flow is no longer established than its packets come`() {
        var run = FlowRun(9) { $0.tracks = true }
        for (flags, state) in [(syn, "h9"), (syn, "h9"), (ack, "e9"), (fin, "c9"), (ack, "c9")] {
            #expect(run.tcp(flags) == "9")
            #expect(run.entries().values.map { $0 } == [state])
        }
        #expect(run.flows(of: 9) == 0)
    }

    @Test func `an ICMP error follows the flow and leaves everything as it is`() {
        for state in [MARTLET_FLOW_HALF_OPEN, MARTLET_FLOW_CLOSING] {
            var run = FlowRun(SlotWord.pinning(9, former: 8))
            run.put(run.entry(state, of: 7))
            #expect(run.error() == "7")
            #expect(run.last.flowWords.isEmpty)
        }
        var run = FlowRun(SlotWord.pinning(9, former: 8)) { $0.tracks = true }
        #expect(run.error() == "8")
        #expect(run.last.flowWords.isEmpty)
    }

    @Test func `a SYN ends what is closing, and goes where new flows go`() {
        var run = FlowRun(SlotWord.looking(9, former: 8))
        run.put(run.entry(MARTLET_FLOW_CLOSING, of: 7), at: 9)
        #expect(run.tcp(syn) == "9")
        #expect(run.entries() == [0: "h9"])
        #expect(run.flows(of: 7) == 0, "it was taken from it when it closed")
        #expect(run.flows(of: 9) == 1)

        run = FlowRun(SlotWord.looking(9))
        run.put(run.entry(MARTLET_FLOW_CLOSING, of: 7), at: 9)
        #expect(run.tcp(syn) == "9")
        #expect(run.entries() == [:])
    }

    @Test func `what a SYN ends makes room for what it begins`() {
        var run = FlowRun(SlotWord.looking(9, former: 8))
        run.fill(0..<16)
        run.put(run.entry(MARTLET_FLOW_CLOSING, of: 7), at: 11)
        #expect(run.tcp(syn) == "9")
        #expect(run.entries()[11] == "h9")
    }

    // MARK: Without one (3)

    @Test(
        arguments: [
            (SlotWord.looking(9), "9"), (SlotWord.looking(9, former: 8), "8"),
            (SlotWord.looking(0, former: 8), "8"), (SlotWord.looking(9, former: 9), "9"),
            (SlotWord.looking(0), "DROP_NO_BACKEND"),
        ] as [(UInt32, String)])
    func `a flow without an entry is the former owner's, or the owner's`(
        word: UInt32, backend: String
    ) {
        var run = FlowRun(word)
        for flags in [ack, fin, reset] { #expect(run.tcp(flags) == backend) }
        #expect(run.udp() == backend)
        #expect(run.error() == backend)
        #expect(run.tables.flows.isEmpty)
    }

    @Test func `a SYN has an entry if it does not go where it would without`() {
        var run = FlowRun(SlotWord.looking(9, former: 8))
        #expect(run.tcp(syn) == "9")
        #expect(run.entries() == [0: "h9"])
        #expect(run.flows(of: 9) == 1)
        #expect(run.last.flowEvents == [MARTLET_FLOW_MADE])

        for word in [SlotWord.looking(9), SlotWord.looking(9, former: 9)] {
            run = FlowRun(word)
            #expect(run.tcp(syn) == "9")
            #expect(run.entries() == [:])
            #expect(run.flows(of: 9) == 0)
        }
    }

    @Test func `a service that tracks has an entry for every flow`() {
        var run = FlowRun(9) { $0.tracks = true }
        #expect(run.tcp(syn) == "9")
        #expect(run.udp() == "9")
        #expect(run.entries() == [0: "h9"])
        #expect(run.entries(of: FlowRun.udpHash) == [0: "d9"])
        #expect(run.udp() == "9")
        #expect(run.entries(of: FlowRun.udpHash) == [0: "d9"])
        #expect(run.flows(of: 9) == 2)
        #expect(run.tcp(ack, from: 41001) == "9")
        #expect(run.flows(of: 9) == 2, "it began before the service tracked")
    }

    @Test func `UDP begins a flow only where it is tracked`() {
        var run = FlowRun(SlotWord.looking(9, former: 8))
        #expect(run.udp() == "8")
        run.setting.changeServices { $0.tracks = true }
        #expect(run.udp() == "9")
        run.setting.changeServices { $0.tracks = false }
        #expect(run.udp() == "9")
    }

    @Test func `where no entry can be made the flow goes where it needs none`() {
        for tracks in [false, true] {
            var run = FlowRun(SlotWord.looking(9, former: 8)) { $0.tracks = tracks }
            run.fill(0..<16)
            #expect(run.tcp(syn) == "8")
            #expect(run.tcp(ack) == "8")
            #expect(run.flows(of: 9) == 0)
            #expect(run.entries().count == 16)
        }
        var run = FlowRun(SlotWord.looking(9, former: 8))
        run.fill(0..<16)
        run.tcp(syn)
        #expect(run.last.flowEvents == [MARTLET_FLOW_REFUSED])
    }

    @Test func `while the table is frozen no new flow gets an entry, and every old one lives on`() {
        var run = FlowRun(SlotWord.looking(9, former: 8))
        run.put(run.entry(MARTLET_FLOW_HALF_OPEN, of: 7))
        run.tables.isFrozen = true
        #expect(run.tcp(ack) == "7")
        #expect(run.entries() == [0: "e7"])
        run.tables.flows = [:]
        #expect(run.tcp(syn) == "8")
        #expect(run.last.flowEvents == [MARTLET_FLOW_FROZEN])
        #expect(run.entries() == [:])
        run.slots = [UInt32](repeating: 0, count: 8)
        run.setting.changeServices { $0.tracks = true }
        #expect(run.tcp(syn) == "DROP_NO_BACKEND")
        run.slots = [UInt32](repeating: SlotWord.pinning(9, former: 8), count: 8)
        #expect(run.tcp(ack) == "8")
        #expect(run.entries() == [0: "e8"], "that one is no new flow")
    }

    @Test func `a slot that pins makes an entry for each flow that has none`() {
        for (flags, state, flows) in [(ack, "e", 1), (fin, "c", 0), (reset, "c", 0)] {
            var run = FlowRun(SlotWord.pinning(9, former: 8))
            #expect(run.tcp(flags) == "8")
            #expect(run.entries() == [0: state + "8"])
            #expect(run.flows(of: 8) == flows, "what ends is no load")
            #expect(run.last.flowEvents == [MARTLET_FLOW_MADE])
            #expect(run.tcp(ack) == "8")
            #expect(run.entries() == [0: state + "8"])
        }
        var run = FlowRun(SlotWord.pinning(9, former: 8))
        #expect(run.udp() == "8")
        #expect(run.entries(of: FlowRun.udpHash) == [0: "e8"])
    }

    @Test func `a slot pins no flow of its owner, and none because of an ICMP error`() {
        for word in [SlotWord.pinning(9, former: 0), SlotWord.pinning(9, former: 9)] {
            var run = FlowRun(word)
            #expect(run.tcp(ack) == "9")
            #expect(run.entries() == [:])
        }
        var run = FlowRun(SlotWord.pinning(9, former: 8))
        #expect(run.error() == "8")
        #expect(run.entries() == [:])
        #expect(run.tcp(syn) == "9")
        #expect(run.entries() == [0: "h9"])
    }

    @Test func `a flow that can't be pinned goes to the former owner all the same`() {
        var run = FlowRun(SlotWord.pinning(9, former: 8))
        run.fill(0..<16)
        #expect(run.tcp(ack) == "8")
        #expect(run.last.flowEvents == [MARTLET_FLOW_REFUSED])
        #expect(run.flows(of: 8) == 0)
    }

    // MARK: Where an entry is made

    @Test(
        arguments: [
            ([], 0), ([0], 8), ([8], 0), ([0, 9], 1), ([0, 1, 2, 8, 9], 10), ([1, 3, 8, 9], 0),
            (Array(0..<8), 8), (Array(8..<16), 0), (Array(0..<15), 15),
            ([0, 1, 2, 3, 4, 5, 7] + Array(8..<16), 6),
        ] as [([Int], Int)])
    func `an entry is made at the first free place of the bucket that has more of them`(
        taken: [Int], place: Int
    ) {
        var run = FlowRun(SlotWord.looking(9, former: 8))
        run.fill(taken)
        #expect(run.tcp(syn) == "9")
        #expect(run.entries()[place] == "h9")
        #expect(run.entries().count == taken.count + 1)
    }

    @Test func `an established flow takes the place of one that is half-open or closing`() {
        for (victims, place) in [([15, 4], 4), ([15, 4, 9], 9), ([15, 9, 6, 2], 2), ([15], 15)] {
            for (state, flows) in [
                (MARTLET_FLOW_HALF_OPEN, 4), (MARTLET_FLOW_CLOSING, 5), (MARTLET_FLOW_AFFINITY, 5),
            ] {
                var run = FlowRun(SlotWord.pinning(9, former: 8))
                run.fill(0..<16)
                run.fill(victims, with: state, of: 7)
                run.tables.loads[7] = .init(flows: 5)
                #expect(run.tcp(ack) == "8")
                #expect(run.entries()[place] == "e8")
                #expect(run.flows(of: 7) == flows, "neither what is closing nor a client counts")
                #expect(run.flows(of: 8) == 1)
                #expect(run.last.flowEvents == [MARTLET_FLOW_EVICTED])
            }
        }
    }

    @Test func `nothing takes the place of a flow that somebody may use`() {
        for state in [MARTLET_FLOW_ESTABLISHED, MARTLET_FLOW_DATAGRAMS] {
            var run = FlowRun(SlotWord.pinning(9, former: 8))
            run.fill(0..<16, with: state)
            let before = run.entries()
            run.tcp(ack)
            #expect(run.entries() == before)
        }
        // Nor does one that ends take any.
        var ending = FlowRun(SlotWord.pinning(9, former: 8))
        ending.fill(0..<16, with: MARTLET_FLOW_HALF_OPEN)
        #expect(ending.tcp(fin) == "8")
        #expect(ending.last.flowEvents == [MARTLET_FLOW_REFUSED])
        // No flood of SYNs, and none of datagrams, evicts anything at all.
        for word in [SlotWord.looking(9, former: 8), SlotWord.pinning(9, former: 8)] {
            var run = FlowRun(word) { $0.tracks = true }
            run.fill(0..<16, with: MARTLET_FLOW_HALF_OPEN)
            let before = run.entries()
            run.tcp(syn)
            run.udp()
            #expect(run.entries() == before)
        }
    }
}
