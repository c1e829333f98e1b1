import CDatapath
import Packets
import Testing

@testable import Model

/// `nat` and `full-nat`: docs/life-of-a-packet.md, §3 *New ends*, §4 and §5.
struct NATTests {
    private static let client = v4(0xC633_6407)
    private static let vip = v4(0xCB00_7101)
    private static let backend = v4(0x0A00_0065)
    private static let address = v4(0xC000_02C9)

    // MARK: nat

    @Test(arguments: [6, 17] as [UInt8])
    func `with nat the backend gets its address and port, and its answer is the VIP's again`(
        transport: UInt8
    ) throws {
        let tables = tables(MARTLET_NAT)
        let there = decide(packet(.toVIP(transport)), from: 1, by: tables)
        #expect(there.verdictName == "FORWARD_NAT")
        #expect(ends(there.frame) == Ends(Self.client, 40001, Self.backend, 8080))
        #expect(hasRightChecksums(there.frame))
        #expect(there.frame[22] == 63)

        let back = decide(
            packet(.init(Self.backend, 8080, Self.client, 40001, transport)), from: 1, by: tables)
        #expect(back.verdictName == "FORWARD_RETURN")
        #expect(ends(back.frame) == Ends(Self.vip, 80, Self.client, 40001))
        #expect(hasRightChecksums(back.frame))
    }

    @Test func `a UDP checksum of none stays none, and one that becomes 0 is sent as 0xffff`() {
        let tables = tables(MARTLET_NAT)
        var none = packet(.toVIP(17))
        none.replaceSubrange(40..<42, with: [0, 0])
        #expect(decide(none, from: 1, by: tables).frame[40..<42] == [0, 0])

        // What the checksum of the translated packet lacks to be 0 goes into the payload.
        var plain = packet(.toVIP(17), payload: [0, 0])
        let sum = decide(plain, from: 1, by: tables).frame.number16(40) ?? 0
        plain = packet(.toVIP(17), payload: big(sum))
        #expect(decide(plain, from: 1, by: tables).frame[40..<42] == [0xff, 0xff])
    }

    @Test func `the kernel's word on the way of an answer decides what becomes of it`() {
        let answer = packet(.init(Self.backend, 8080, Self.client, 40001, 6))
        func verdict(_ change: (inout Tables) -> Void) -> String {
            var tables = tables(MARTLET_NAT)
            change(&tables)
            return decide(answer, from: 1, by: tables).verdictName
        }
        #expect(verdict { $0.egressNumbers = [:] } == "PASS_RETURN")
        #expect(verdict { $0.kernel.neighbours = [:] } == "PASS_RETURN")
        #expect(verdict { $0.kernel.routes = [] } == "PASS_NO_SERVICE")
        #expect(verdict { $0.kernel.forwards = false } == "PASS_NO_ROUTE")
        #expect(verdict { $0.nat.asksReturns = false } == "PASS_NO_SERVICE")
        #expect(verdict { $0.egresses = [:] } == "DROP_BROKEN_TABLE")
    }

    @Test func `an answer that is too big for its way is told to the backend`() {
        var tables = tables(MARTLET_NAT)
        tables.kernel.routes[0].mtu = 600
        let answer = packet(
            .init(Self.backend, 8080, Self.client, 40001, 6),
            payload: [UInt8](repeating: 7, count: 700))
        let told = decide(answer, from: 1, by: tables)
        #expect(told.verdictName == "REPLY_TOO_BIG")
        #expect(told.frame.address(26, .v4) == Self.client)
        #expect(told.frame.address(30, .v4) == Self.backend)
        #expect(told.frame.number16(40) == 600)
    }

    @Test func `later fragments of an answer leave as the first one did`() {
        var tables = tables(MARTLET_NAT)
        var first = packet(.init(Self.backend, 8080, Self.client, 40001, 17), payload: [1, 2, 3])
        first.replaceSubrange(20..<22, with: [0x20, 0])
        let outcome = decide(withRightHeader(first), from: 1, by: tables)
        #expect(outcome.verdictName == "FORWARD_RETURN")
        if let note = outcome.note { tables.fragments[note.key] = note.value }

        var later = packet(.init(Self.backend, 1, Self.client, 2, 17))
        later.replaceSubrange(20..<22, with: [0, 2])
        let other = decide(withRightHeader(later), from: 1, by: tables)
        #expect(other.verdictName == "FORWARD_RETURN")
        #expect(other.frame.address(26, .v4) == Self.vip)
        #expect(Array(other.frame[34...]) == Array(later[34...]))
    }

    // MARK: ICMP errors: RFC 5508

    @Test(arguments: [MARTLET_NAT, MARTLET_FULL_NAT])
    func `an error about a flow speaks of what its receiver has sent`(mode: martlet_forwarding) {
        var tables = tables(mode)
        let there = decide(packet(.toVIP(6), flags: 0x02), from: 1, by: tables)
        if let change = there.flowChange { tables.nat.flows[change.place] = change.flow }
        let inside = ends(there.frame)

        let router = Self.v4(0xC633_6401)
        let toBackend = decide(
            error(from: router, to: Self.vip, about: .init(Self.vip, 80, Self.client, 40001, 6)),
            from: 1, by: tables)
        #expect(toBackend.frame.address(30, .v4) == Self.backend)
        #expect(quoted(toBackend.frame) == inside.reversed)
        #expect(
            toBackend.frame.address(26, .v4)
                == (mode == MARTLET_NAT ? router : Self.address))
        #expect(checksum(toBackend.frame[34...]) == 0)

        let toClient = decide(
            error(
                from: Self.backend, to: inside.source,
                about: .init(inside.source, inside.sourcePort, Self.backend, 8080, 6)),
            from: 1, by: tables)
        #expect(toClient.verdictName == "FORWARD_RETURN")
        #expect(toClient.frame.address(26, .v4) == Self.vip)
        #expect(quoted(toClient.frame) == Ends(Self.client, 40001, Self.vip, 80))
        #expect(checksum(toClient.frame[34...]) == 0)
    }

    // MARK: full-nat

    @Test func `a flow that another CPU is opening is not opened twice`() throws {
        var run = Run(tables(MARTLET_FULL_NAT))
        let place = try #require(run.send(.toVIP(17)).flowChange?.place)
        run.tables.nat.flows[place]?.state = MARTLET_NAT_MAKING.rawValue
        #expect(run.send(.toVIP(17)).verdictName == "DROP_NAT_BUSY")
    }

    @Test func `a flow goes from opening to closing, and a SYN begins it anew`() {
        var run = Run(tables(MARTLET_FULL_NAT))
        #expect(run.send(.toVIP(6), flags: 0x10).verdictName == "DROP_NAT_NO_FLOW")
        let opened = run.send(.toVIP(6), flags: 0x02)
        #expect(opened.verdictName == "FORWARD_FULL_NAT")
        #expect(run.state == MARTLET_NAT_OPENING)
        let inside = ends(opened.frame)
        #expect(inside.source == Self.address && inside.sourcePort >= 1024)
        #expect(hasRightChecksums(opened.frame))

        let answer = Ends(Self.backend, 8080, inside.source, inside.sourcePort, 6)
        let back = run.send(answer, flags: 0x12)
        #expect(back.verdictName == "FORWARD_RETURN")
        #expect(ends(back.frame) == Ends(Self.vip, 80, Self.client, 40001))
        #expect(hasRightChecksums(back.frame))
        #expect(run.state == MARTLET_NAT_ANSWERED)
        _ = run.send(.toVIP(6), flags: 0x02)
        #expect(run.state == MARTLET_NAT_ANSWERED, "a SYN proves nothing")
        _ = run.send(.toVIP(6), flags: 0x10)
        #expect(run.state == MARTLET_NAT_ESTABLISHED)
        _ = run.send(.toVIP(6), flags: 0x02)
        #expect(run.state == MARTLET_NAT_ESTABLISHED)
        _ = run.send(answer, flags: 0x11)
        #expect(run.state == MARTLET_NAT_CLOSING)
        let again = run.send(.toVIP(6), flags: 0x02)
        #expect(run.state == MARTLET_NAT_OPENING)
        #expect(ends(again.frame) == inside)
    }

    @Test func `an answer leaves by the way that its client came`() {
        var run = Run(tables(MARTLET_FULL_NAT))
        let inside = ends(run.send(.toVIP(17)).frame)
        run.tables.kernel.routes = []
        let answer = Ends(Self.backend, 8080, inside.source, inside.sourcePort, 17)
        let back = run.send(answer)
        #expect(back.verdictName == "FORWARD_RETURN")
        #expect(Array(back.frame[0..<6]) == [2, 0, 0, 0, 0, 2])
        let other = Ends(Self.backend, 8081, inside.source, inside.sourcePort, 17)
        #expect(run.send(other).verdictName == "PASS_NAT_ADDRESS")
    }

    @Test func `a flow finds no port where all sixteen have flows that are not over`() throws {
        var run = Run(tables(MARTLET_FULL_NAT))
        let opened = run.send(.toVIP(17))
        let flow = try #require(opened.flowChange?.flow)
        let place = try #require(opened.flowChange?.place)
        let hash = try #require(opened.hash)
        run.tables.nat.flows[place] = nil
        for place in NATPlaces(hash: hash, family: .v4).all(at: 1) {
            var other = flow
            other.client.port = 7
            other.state = MARTLET_NAT_TALKING.rawValue
            run.tables.nat.flows[place] = other
        }
        run.now += 300
        #expect(run.send(.toVIP(17)).verdictName == "DROP_NAT_EXHAUSTED")
        run.now += 1
        #expect(run.send(.toVIP(17)).verdictName == "FORWARD_FULL_NAT")
    }

    // MARK: Backends of new flows: §6

    @Test func `a new flow gets a backend as its scheduler has it`() {
        var run = Run(twoBackends())
        for service in run.tables.services.keys {
            run.tables.services[service]?.isRoundRobin = true
        }
        let got = [40001, 40002, 40003].map { run.send(from: $0, flags: 0x02).backend }
        #expect(got == [1, 2, 1])
        run.tables.loads[2]?.limit = 1
        #expect(run.send(from: 40004, flags: 0x02).backend == 1)
        run.tables.loads[1]?.limit = 1
        #expect(run.send(from: 40005, flags: 0x02).verdictName == "DROP_BACKENDS_FULL")
        #expect(run.tables.flows.isEmpty)
    }

    @Test func `a flow counts for its backend until either side ends it, and anew from then on`() {
        for isAnswer in [false, true] {
            var run = Run(tables(MARTLET_FULL_NAT))
            let inside = ends(run.send(.toVIP(6), flags: 0x02).frame)
            let answer = Ends(Self.backend, 8080, inside.source, inside.sourcePort, 6)
            #expect(run.flows == [1: 1])
            for flags in [0x12, 0x10] as [UInt8] {
                _ = run.send(flags == 0x12 ? answer : .toVIP(6), flags: flags)
                #expect(run.flows == [1: 1])
            }
            _ = run.send(isAnswer ? answer : .toVIP(6), flags: 0x11)
            #expect(run.flows == [1: 0])
            _ = run.send(isAnswer ? .toVIP(6) : answer, flags: 0x04)
            #expect(run.flows == [1: 0])
            _ = run.send(.toVIP(6), flags: 0x02)
            #expect(run.flows == [1: 1])
        }
        var run = Run(tables(MARTLET_FULL_NAT))
        _ = run.send(.toVIP(17))
        _ = run.send(.toVIP(17))
        #expect(run.flows == [1: 1])
    }

    @Test func `a SYN that nobody answered counts for the backend that the last one went to`() {
        var run = Run(twoBackends())
        for service in run.tables.services.keys {
            run.tables.services[service]?.isRoundRobin = true
        }
        #expect(run.send(.toVIP(6), flags: 0x02).backend == 1)
        #expect(run.send(.toVIP(6), flags: 0x02).backend == 2)
        #expect(run.flows == [1: 0, 2: 1])
    }

    @Test func `a flow that finds no port counts for nobody`() throws {
        var run = Run(tables(MARTLET_FULL_NAT))
        for index in run.tables.nat.shares.keys { run.tables.nat.shares[index]?.owner = 0 }
        #expect(run.send(.toVIP(6), flags: 0x02).verdictName == "DROP_NAT_EXHAUSTED")
        #expect(run.flows == [:])
    }

    private func twoBackends() -> Tables {
        var tables = tables(MARTLET_FULL_NAT)
        tables.slots[1] = [1, 2]
        tables.backends[2] = tables.backends[1]
        for id in [1, 2] as [UInt32] { tables.loads[id] = .init() }
        return tables
    }

    @Test func `a flow stays with its backend when its slot moves, and where its address was`() {
        var run = Run(tables(MARTLET_FULL_NAT))
        let before = ends(run.send(.toVIP(6), flags: 0x02).frame)
        let answer = Ends(Self.backend, 8080, before.source, before.sourcePort, 6)
        _ = run.send(answer, flags: 0x12)
        run.tables.slots[1] = [0, 0]
        for index in run.tables.nat.shares.keys {
            run.tables.nat.shares[index] = NAT.Share(owner: 2, former: 1)
        }
        #expect(ends(run.send(.toVIP(6), flags: 0x10).frame) == before)
        run.tables.backends[1]?.address = Self.v4(0x0A00_0066)
        #expect(run.send(.toVIP(6), flags: 0x10).verdictName == "DROP_NAT_NO_FLOW")
    }
}

// MARK: - Tables and packets

/// Packets one after the other, with what they leave behind.
private struct Run {
    var tables: Tables
    var now: UInt32 = 1000
    var state = MARTLET_NAT_FREE

    init(_ tables: Tables) { self.tables = tables }

    /// How many are open, by the backend.
    var flows: [UInt32: UInt32] { tables.loads.mapValues(\.flows) }

    mutating func send(from port: UInt16, flags: UInt8) -> Outcome {
        var ends = NATTests.Ends.toVIP(6)
        ends.sourcePort = port
        return send(ends, flags: flags)
    }

    mutating func send(_ ends: NATTests.Ends, flags: UInt8 = 0) -> Outcome {
        let outcome = decide(NATTests.packet(ends, flags: flags), from: 1, by: tables, at: now)
        tables.apply(outcome)
        if let change = outcome.flowChange {
            state = martlet_nat_state(change.flow?.state ?? 0)
        }
        return outcome
    }
}

extension NATTests {
    /// Who sends a packet to whom.
    fileprivate struct Ends: Equatable {
        var source: IPAddress
        var sourcePort: UInt16
        var destination: IPAddress
        var destinationPort: UInt16
        var transport: UInt8 = 6

        init(
            _ source: IPAddress, _ sourcePort: UInt16, _ destination: IPAddress,
            _ destinationPort: UInt16, _ transport: UInt8 = 6
        ) {
            self.source = source
            self.sourcePort = sourcePort
            self.destination = destination
            self.destinationPort = destinationPort
            self.transport = transport
        }

        static func toVIP(_ transport: UInt8) -> Ends {
            Ends(client, 40001, vip, 80, transport)
        }

        var reversed: Ends { Ends(destination, destinationPort, source, sourcePort, transport) }

        static func == (left: Ends, right: Ends) -> Bool {
            (left.source, left.sourcePort, left.destination, left.destinationPort)
                == (right.source, right.sourcePort, right.destination, right.destinationPort)
        }
    }

    fileprivate static func v4(_ number: UInt32) -> IPAddress { .v4(IPv4Address(number)) }

    /// One service at port 80 of the VIP, with one backend that listens at port 8080.
    private func tables(_ mode: martlet_forwarding) -> Tables {
        let isFull = mode == MARTLET_FULL_NAT
        var tables = Tables()
        for transport in [6, 17] as [UInt8] {
            tables.services[.init(address: Self.vip, port: 80, transport: transport)] = .init(
                id: 1, hasAccessList: false, deniesOthers: false, isFullNAT: isFull, slotMask: 1)
        }
        tables.slots[1] = [1, 1]
        tables.backends[1] = .init(
            service: 1, forwarding: mode.rawValue, address: Self.backend, source: Self.address,
            sourceEntropy: 0, tunnelPort: 0, port: 8080, neighbour: [2, 0, 0, 0, 0, 9], egress: 1)
        tables.egresses[1] = .init(
            interface: 1, mtu: 1500, address: [2, 0, 0, 0, 0, 1], tags: [], isRedirectedBack: false)
        tables.egressNumbers = [1: 1]
        tables.kernel.routes = [
            .init(prefix: Prefix(bits: 0xffff << 32, length: 96), interface: 1)
        ]
        tables.kernel.neighbours = [Self.client: [2, 0, 0, 0, 0, 7]]
        tables.nat.asksReturns = !isFull
        tables.nat.asksAddresses = isFull
        for transport in [6, 17] as [UInt8] {
            tables.nat.returns[.init(address: Self.backend, port: 8080, transport: transport)] =
                .init(vip: Self.vip, port: 80)
        }
        tables.nat.addresses = [1: Self.address]
        tables.nat.numbers = [Self.address: 1]
        tables.nat.tables = [1, 2]
        for index in 0..<256 { tables.nat.shares[index] = .init(owner: 1, former: 0) }
        return tables
    }

    private func packet(
        _ ends: Ends, flags: UInt8 = 0x10, payload: [UInt8] = [1, 2, 3]
    ) -> [UInt8] { Self.packet(ends, flags: flags, payload: payload) }

    fileprivate static func packet(
        _ ends: Ends, flags: UInt8, payload: [UInt8] = [1, 2, 3]
    ) -> [UInt8] {
        let ports = big(ends.sourcePort) + big(ends.destinationPort)
        var segment =
            ends.transport == 6
            ? ports + [0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 1, 0, 0, 0, 0, 0] + payload
            : ports + big(UInt16(8 + payload.count)) + [0, 0] + payload
        let at = ends.transport == 6 ? 16 : 6
        let pseudo =
            ends.source.bytes + ends.destination.bytes + [0, ends.transport]
            + big(UInt16(segment.count))
        segment.replaceSubrange(at..<at + 2, with: big(checksum(pseudo + segment)))
        return frame(ends, ends.transport, segment)
    }

    private static func frame(
        _ ends: Ends, _ transport: UInt8, _ payload: [UInt8]
    ) -> [UInt8] {
        var header: [UInt8] = [0x45, 0] + big(UInt16(20 + payload.count))
        header += [0, 1, 0, 0, 64, transport, 0, 0] + ends.source.bytes + ends.destination.bytes
        header.replaceSubrange(10..<12, with: big(checksum(header)))
        return [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0] + header + payload
    }

    /// "Port unreachable", or whatever; RFC 792.
    private func error(from: IPAddress, to: IPAddress, about ends: Ends) -> [UInt8] {
        let quoted = packet(ends)[14..<42]
        var icmp: [UInt8] = [3, 3, 0, 0, 0, 0, 0, 0] + quoted
        icmp.replaceSubrange(2..<4, with: big(checksum(icmp)))
        return Self.frame(Ends(from, 0, to, 0), 1, icmp)
    }

    private func withRightHeader(_ frame: [UInt8]) -> [UInt8] {
        var frame = frame
        frame.replaceSubrange(24..<26, with: [0, 0])
        frame.replaceSubrange(24..<26, with: big(checksum(frame[14..<34])))
        return frame
    }

    private func ends(_ frame: [UInt8]) -> Ends { ends(frame, at: 14) }

    /// Of the packet that an ICMP error quotes, whose header is right.
    private func quoted(_ frame: [UInt8]) -> Ends? {
        checksum(frame[42..<62]) == 0 ? ends(frame, at: 42) : nil
    }

    private func ends(_ frame: [UInt8], at ip: Int) -> Ends {
        Ends(
            frame.address(ip + 12, .v4) ?? Self.v4(0), frame.number16(ip + 20) ?? 0,
            frame.address(ip + 16, .v4) ?? Self.v4(0), frame.number16(ip + 22) ?? 0,
            frame[ip + 9])
    }

    /// Whether those of the IPv4 header and of TCP or UDP are.
    private func hasRightChecksums(_ frame: [UInt8]) -> Bool {
        let segment = Array(frame[34...])
        let pseudo = Array(frame[26..<34]) + [0, frame[23]] + big(UInt16(segment.count))
        return checksum(frame[14..<34]) == 0 && checksum(pseudo + segment) == 0
    }
}
