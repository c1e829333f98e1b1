import CDatapath
import Packets

/// The ends that the packets of a flow get.
struct Ends {
    var source: NATFlow.End
    var destination: NATFlow.End
    /// Whether errors of routers on the way seem to come from `source`, too.
    var hidesRouters = false
    /// Of IPv4 fragments: what the identification is changed by, as a little-endian machine has it.
    var identification: UInt16 = 0
}

/// What changes under a checksum: RFC 1624 §3, equation 3, over 32-bit words.
private struct Changes {
    private var sum: UInt64 = 0

    mutating func add(_ before: UInt32, _ after: UInt32) {
        sum += UInt64(~before) + UInt64(after)
    }

    mutating func add(_ other: Changes) { sum += other.sum }

    func applied(to checksum: UInt16) -> UInt16 {
        var sum = sum + UInt64(~checksum)
        while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
        return ~UInt16(truncatingIfNeeded: sum)
    }
}

extension Decision {
    /// The packet from its IP header on, with other ends: docs §3, *New ends*.
    func translated(to ends: Ends) -> [UInt8] {
        var bytes = Array(packet.frame[packet.ipStart...])
        let isOfRouter = bytes.address(sourceAt, packet.family) != packet.flow.source
        let source =
            isOfRouter && !ends.hidesRouters
            ? bytes.address(sourceAt, packet.family) ?? ends.source.address : ends.source.address
        let changes = bytes.changeAddresses(
            at: 0, packet.family, to: source, ends.destination.address)
        if packet.family == .v4, packet.fragmentation != nil, ends.identification != 0 {
            bytes.changeIdentification(by: ends.identification.byteSwapped)
        }
        let transport = packet.transportStart - packet.ipStart
        if packet.kind == .laterFragment { return bytes }
        if isError {
            // The checksum of ICMPv6 covers a pseudo-header; that of ICMP does not.
            bytes.changeError(
                at: transport, packet.flow, header: packet.quotedBytes,
                packet.family == .v4 ? Changes() : changes, to: ends)
        } else {
            bytes.changeTransport(at: transport, packet.flow.transport, changes, to: ends)
        }
        return bytes
    }

    private var sourceAt: Int { packet.family == .v4 ? 12 : 8 }
}

extension [UInt8] {
    /// The addresses of the IP header at `at`, and the checksum of an IPv4 header.
    fileprivate mutating func changeAddresses(
        at: Int, _ family: IPFamily, to source: IPAddress, _ destination: IPAddress
    ) -> Changes {
        let first = at + (family == .v4 ? 12 : 8)
        let new = source.bytes + destination.bytes
        var changes = Changes()
        for offset in stride(from: 0, to: new.count, by: 4) {
            changes.add(number32(first + offset) ?? 0, new.number32(offset) ?? 0)
        }
        replaceSubrange(first..<first + new.count, with: new)
        if family == .v4 { apply(changes, toChecksumAt: at + 10) }
        return changes
    }

    /// RFC 9293 §3.1, RFC 768.
    fileprivate mutating func changeTransport(
        at: Int, _ transport: UInt8, _ changes: Changes, to ends: Ends
    ) {
        var changes = changes
        changes.add(changePorts(at: at, to: ends.source.port, ends.destination.port))
        if transport == 6 { return apply(changes, toChecksumAt: at + 16) }
        applyToUDP(changes, at: at)
    }

    /// 0 says that there is none, and 0xffff means 0: RFC 768.
    private mutating func applyToUDP(_ changes: Changes, at: Int) {
        guard number16(at + 6) != 0 else { return }
        apply(changes, toChecksumAt: at + 6)
        if number16(at + 6) == 0 { replaceSubrange(at + 6..<at + 8, with: [0xff, 0xff]) }
    }

    /// RFC 5508 §4.2: the quoted packet went the other way.
    fileprivate mutating func changeError(
        at: Int, _ flow: Flow, header: Int, _ outer: Changes, to ends: Ends
    ) {
        let (quoted, udp) = (at + 8, at + 8 + header)
        let (before, udpBefore) = (number16(quoted + 10) ?? 0, number16(udp + 6) ?? 0)
        var changes = outer
        var inner = changeAddresses(
            at: quoted, flow.source.family, to: ends.destination.address, ends.source.address)
        changes.add(inner)
        if flow.source.family == .v4 {
            changes.add(UInt32(before), UInt32(number16(quoted + 10) ?? 0))
        }
        let ports = changePorts(at: udp, to: ends.destination.port, ends.source.port)
        changes.add(ports)
        inner.add(ports)
        if flow.transport == 17 {
            applyToUDP(inner, at: udp)
            changes.add(UInt32(udpBefore), UInt32(number16(udp + 6) ?? 0))
        }
        apply(changes, toChecksumAt: at + 2)
    }

    /// RFC 6864 §5.3: clients behind one source must not get in each other's way.
    fileprivate mutating func changeIdentification(by mask: UInt16) {
        guard let before = number16(4) else { return }
        var changes = Changes()
        changes.add(UInt32(before), UInt32(before ^ mask))
        replaceSubrange(4..<6, with: big(before ^ mask))
        apply(changes, toChecksumAt: 10)
    }

    private mutating func changePorts(
        at: Int, to source: UInt16, _ destination: UInt16
    ) -> Changes {
        let new = big(source) + big(destination)
        var changes = Changes()
        changes.add(number32(at) ?? 0, new.number32(0) ?? 0)
        replaceSubrange(at..<at + 4, with: new)
        return changes
    }

    private mutating func apply(_ changes: Changes, toChecksumAt at: Int) {
        guard let checksum = number16(at) else { return }
        replaceSubrange(at..<at + 2, with: big(changes.applied(to: checksum)))
    }
}
