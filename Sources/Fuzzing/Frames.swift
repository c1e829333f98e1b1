import Model
import Packets
import SeededRandom

/// Random frames: right ones of every kind, with a lie or a cut now and then.
struct Frames {
    private var random: Random
    /// Of NAT backends, as they send them.
    private let answers: [IPFamily: [Flow]]

    /// Of clients that send packet after packet.
    private let hotFlows: [IPFamily: [Flow]]

    /// Whether most packets are right ones of these clients, so that their flows live and end.
    private let isFocused: Bool
    /// Of the next one.
    private var isPlain = false

    init(_ random: Random, answers: [Flow], hotFlows: [Flow]) {
        var random = random
        isFocused = random.once(in: 2)
        self.random = random
        self.answers = Dictionary(grouping: answers, by: \.source.family)
        self.hotFlows = Dictionary(grouping: hotFlows, by: \.source.family)
    }

    mutating func next() -> [UInt8] {
        isPlain = isFocused && !random.once(in: 6)
        var frame = link(around: random.once(in: 2) ? packetV4() : packetV6())
        if random.once(in: 8) { frame += random.bytes(random.number(1...60)) }
        if isPlain { return frame }
        if random.once(in: 6) { mutate(&frame) }
        if random.once(in: 12) { frame = Array(frame.prefix(random.number(14...frame.count))) }
        return frame
    }

    /// A few bytes of the headers become others.
    private mutating func mutate(_ frame: inout [UInt8]) {
        for _ in 0..<random.number(1...3) {
            let at = random.number(0...min(frame.count - 1, 120))
            frame[at] =
                random.once(in: 2)
                ? UInt8(truncatingIfNeeded: random.next())
                : frame[at] ^ (1 << UInt8(random.number(0...7)))
        }
    }

    private mutating func link(around packet: (type: UInt16, bytes: [UInt8])) -> [UInt8] {
        let destination: [UInt8] =
            !isPlain && random.once(in: 40) ? [1, 0, 0x5e, 0, 0, 1] : [2, 0, 0, 0, 0, 1]
        var frame = destination + [2, 0, 0, 0, 0, 2]
        for index in 0..<random.pick([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3]) {
            frame += big(index == 0 && random.once(in: 2) ? 0x88a8 : 0x8100) + random.bytes(2)
        }
        return frame + big(random.once(in: 60) ? random.number16() : packet.type) + packet.bytes
    }

    // MARK: IPv4: RFC 791

    private mutating func packetV4() -> (type: UInt16, bytes: [UInt8]) {
        let ends = ends(.v4)
        let (transport, payload) = transport(ends)
        return (0x0800, ipv4(ends.source, ends.destination, transport, payload))
    }

    /// Between whom: a client and a VIP, or a backend and a client.
    private mutating func ends(_ family: IPFamily) -> Flow {
        if let answers = answers[family], random.once(in: 4) { return random.pick(answers) }
        if let flows = hotFlows[family], isPlain || random.once(in: 2) {
            return random.pick(flows)
        }
        let isV4 = family == .v4
        let clients = isV4 ? Places.clients4 : Places.clients6
        let martians = isV4 ? Places.martians4 : Places.martians6
        let vips =
            random.once(in: 5)
            ? (isV4 ? Places.wide4 : Places.wide6) : (isV4 ? Places.vips4 : Places.vips6)
        return Flow(
            source: random.pick(random.once(in: 25) ? martians : clients),
            destination: random.pick(random.once(in: 12) ? clients : vips),
            sourcePort: random.pick(Places.clientPorts), destinationPort: port(), transport: 0)
    }

    private mutating func ipv4(
        _ source: IPAddress, _ destination: IPAddress, _ transport: UInt8, _ payload: [UInt8]
    ) -> [UInt8] {
        let options = random.once(in: 8) ? random.bytes(4 * random.number(1...10)) : []
        var fragment: UInt16 = random.once(in: 2) ? 0x4000 : 0
        if !isPlain, random.once(in: 8) { fragment |= 0x2000 }
        if !isPlain, random.once(in: 8) { fragment |= random.pick([1, 2, 3, 100]) }
        let lie = !isPlain && random.once(in: 40) ? random.number(-30...30) : 0
        let length = UInt16(clamping: 20 + options.count + payload.count + lie)
        var header: [UInt8] = [UInt8(0x45 + options.count / 4), random.pick([0, 0xb9])]
        header += big(length) + big(UInt16(random.number(1...3))) + big(fragment)
        header += [random.pick([64, 64, 2, 1, 0]), transport, 0, 0]
        header += source.bytes + destination.bytes + options
        header.replaceSubrange(10..<12, with: big(checksum(header)))
        return header + payload
    }

    // MARK: IPv6: RFC 8200

    private mutating func packetV6() -> (type: UInt16, bytes: [UInt8]) {
        let ends = ends(.v6)
        let (transport, payload) = transport(ends)
        return (0x86dd, ipv6(ends.source, ends.destination, transport, payload))
    }

    private mutating func ipv6(
        _ source: IPAddress, _ destination: IPAddress, _ transport: UInt8, _ payload: [UInt8]
    ) -> [UInt8] {
        var (next, rest) = (transport, payload)
        for _ in 0..<(isPlain ? 0 : random.pick([0, 0, 0, 0, 1, 1, 2, 4, 5])) {
            let kind: UInt8 = random.pick([0, 43, 44, 44, 51, 60])
            rest = extensionHeader(kind, before: next) + rest
            next = kind
        }
        let lie = random.once(in: 40) ? random.number(-30...30) : 0
        let first = big(0x6000 | UInt16(random.pick([0, 0xb9])) << 4) + random.bytes(2)
        let header =
            first + big(UInt16(clamping: rest.count + lie)) + [next, random.pick([64, 2, 1])]
        return header + source.bytes + destination.bytes + rest
    }

    private mutating func extensionHeader(_ kind: UInt8, before next: UInt8) -> [UInt8] {
        switch kind {
        case 44:
            let offset: UInt16 = random.pick([0, 0, 1, 8, 16, 24, 9, 800])
            return [next, 0] + big(offset) + [0, 0, 0, UInt8(random.number(1...3))]
        case 51:
            return [next, 1, 0, 0] + random.bytes(8)
        default:
            let more = random.number(0...2)
            let segments: UInt8 = random.once(in: 4) ? 1 : 0
            return [next, UInt8(more), 4, kind == 43 ? segments : 0] + random.bytes(4 + 8 * more)
        }
    }

    // MARK: Transport

    private mutating func transport(_ ends: Flow) -> (UInt8, [UInt8]) {
        let icmp: UInt8 = ends.source.family == .v4 ? 1 : 58
        // Answers are of flows, and so of a protocol.
        switch ends.transport == 0 ? random.number(0...11) : random.pick([0, 5, 9, 9, 11]) {
        case _ where ends.transport == 6 && random.once(in: 2): return (6, tcp(ends))
        case _ where ends.transport == 17 && random.once(in: 2): return (17, udp(ends))
        case 0...4: return (6, tcp(ends))
        case 5...7: return (17, udp(ends))
        case 8: return (icmp, echo(ends.source.family))
        case 9...10: return (icmp, icmpError(ends))
        default:
            return (random.pick([4, 41, 47, 50, 132, 1, 58]), random.bytes(random.number(0...60)))
        }
    }

    private mutating func port() -> UInt16 {
        random.once(in: 10) ? random.number16() : random.pick(Places.ports)
    }

    /// RFC 9293 §3.1.
    private mutating func tcp(_ ends: Flow) -> [UInt8] {
        let flags: UInt8 = random.pick([0x02, 0x02, 0x10, 0x12, 0x18, 0x11, 0x04, 0x03])
        let offset: UInt8 = random.once(in: 15) ? UInt8(random.number(0...15)) : 5
        return big(ends.sourcePort) + big(ends.destinationPort) + random.bytes(8)
            + [offset << 4, flags] + random.bytes(6) + random.bytes(size())
    }

    /// RFC 768.
    private mutating func udp(_ ends: Flow) -> [UInt8] {
        let payload = random.bytes(size())
        let lie = random.once(in: 15) ? random.number(-20...20) : 0
        let checksum: [UInt8] = random.once(in: 4) ? [0, 0] : random.bytes(2)
        return big(ends.sourcePort) + big(ends.destinationPort)
            + big(UInt16(clamping: 8 + payload.count + lie)) + checksum + payload
    }

    private mutating func size() -> Int {
        random.pick([0, 1, 20, 60, 100, 200, 500, random.number(1300...1480)])
    }

    private mutating func echo(_ family: IPFamily) -> [UInt8] {
        let type: UInt8 =
            family == .v4 ? random.pick([8, 8, 0]) : random.pick([128, 128, 129, 135])
        return [type, 0] + random.bytes(6) + random.bytes(random.number(0...100))
    }

    /// RFC 792, RFC 4443 §3: with a packet in it that came from who gets the error.
    private mutating func icmpError(_ ends: Flow) -> [UInt8] {
        let isV4 = ends.source.family == .v4
        let type: UInt8 = isV4 ? random.pick([3, 11, 12, 5]) : random.pick([1, 2, 3, 4])
        let others = isV4 ? Places.vips4 : Places.vips6
        let clients = isV4 ? Places.clients4 : Places.clients6
        let from = random.once(in: 10) ? random.pick(others) : ends.destination
        let to = ends.transport == 0 ? random.pick(clients) : ends.source
        let segment =
            big(ends.destinationPort) + big(ends.sourcePort)
            + random.bytes(random.number(4...40))
        let transport: UInt8 = ends.transport == 0 ? random.pick([6, 6, 17, 1]) : ends.transport
        let quoted =
            isV4 ? ipv4(from, to, transport, segment) : ipv6(from, to, transport, segment)
        let cut = random.once(in: 6) ? random.number(0...quoted.count) : quoted.count
        return [type, random.pick([0, 1, 4])] + random.bytes(6) + quoted.prefix(cut)
    }
}
