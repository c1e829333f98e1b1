import CDatapath
import Packets

/// What the bits of a flow's hash are for, besides its slot.
private struct Entropy {
    let hash: UInt64

    /// RFC 6335: of the dynamic ports, 0xc000 and up.
    var sourcePort: UInt16 { 0xc000 | UInt16(truncatingIfNeeded: hash >> 16) & 0x3fff }
    /// Its four bytes as the program lays them into an address: the lowest first.
    var addressBytes: [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: hash >> UInt64(32 + 8 * $0)) }
    }
    /// RFC 6438.
    var flowLabel: UInt32 { UInt32(truncatingIfNeeded: hash >> 40) & 0xfffff }
}

extension Decision {
    /// docs/life-of-a-packet.md §3.
    func forward(to backend: Tables.Backend, id: UInt32, hash: UInt64) -> Outcome {
        guard backend.egress != 0 else { return end(MARTLET_DROP_NO_NEXT_HOP) }
        guard let egress = tables.egresses[backend.egress] else {
            return end(MARTLET_DROP_BROKEN_TABLE)
        }
        let isDirect = backend.forwarding == MARTLET_L2_DSR.rawValue
        if isDirect, packet.ttl <= 1 { return end(MARTLET_DROP_EXPIRED) }
        let outer = outerHeaders(to: backend, Entropy(hash: hash))
        if packet.ipBytes + outer.count > egress.mtu {
            return tellSender(mtu: egress.mtu - outer.count)
        }

        let type: UInt16
        if isDirect {
            type = packet.family == .v4 ? 0x0800 : 0x86dd
        } else {
            type = backend.address.family == .v4 ? 0x0800 : 0x86dd
        }
        var outcome = outcome
        outcome.frame =
            linkHeader(
                to: backend.neighbour, from: egress.address, tags: egress.tags, type: type) + outer
            + (isDirect ? packetOneHopOlder() : Array(packet.frame[packet.ipStart...]))
        outcome.verdict =
            isDirect
            ? MARTLET_FORWARD_L2_DSR
            : backend.forwarding == MARTLET_GUE.rawValue
                ? MARTLET_FORWARD_GUE : MARTLET_FORWARD_IPIP
        outcome.backend = id
        outcome.action =
            egress.interface == interface && !egress.isRedirectedBack
            ? .transmit : .redirect(interface: egress.interface)
        return outcome
    }

    /// The packet with its padding and one less in TTL or hop limit.
    private func packetOneHopOlder() -> [UInt8] {
        var bytes = Array(packet.frame[packet.ipStart...])
        guard packet.family == .v4 else {
            bytes[7] -= 1
            return bytes
        }
        bytes[8] -= 1
        // As the kernel does it (ip_decrease_ttl): where RFC 1624 would give 0xffff it gives 0.
        var sum = UInt32(bytes[10]) << 8 | UInt32(bytes[11])
        sum += 0x0100
        sum += hasCarry(sum) ? 1 : 0
        bytes.replaceSubrange(10..<12, with: big(UInt16(truncatingIfNeeded: sum)))
        return bytes
    }

    private func hasCarry(_ sum: UInt32) -> Bool { sum >= 0xffff }

    /// RFC 2003, RFC 2473, RFC 4213 §3; with UDP in between: draft-ietf-intarea-gue-09 §4.
    private func outerHeaders(to backend: Tables.Backend, _ entropy: Entropy) -> [UInt8] {
        guard backend.forwarding != MARTLET_L2_DSR.rawValue else { return [] }
        let isGUE = backend.forwarding == MARTLET_GUE.rawValue
        let payload = packet.ipBytes + (isGUE ? 8 : 0)
        let protocolNumber: UInt8 = isGUE ? 17 : packet.family == .v4 ? 4 : 41
        // The checksum may be 0, over IPv6 too: RFC 6935.
        let udp =
            isGUE
            ? big(entropy.sourcePort) + big(backend.tunnelPort)
                + big(UInt16(truncatingIfNeeded: payload)) + [0, 0] : []
        let source = source(of: backend, entropy)
        switch backend.address.family {
        case .v4:
            let length = UInt16(truncatingIfNeeded: payload + 20)
            var header: [UInt8] = [0x45, packet.trafficClass] + big(length)
            header += [0, 0, 0x40, 0, 64, protocolNumber, 0, 0] + source + backend.address.bytes
            header.replaceSubrange(10..<12, with: big(checksum(header)))
            return header + udp
        case .v6:
            let first =
                6 << 28 | UInt32(packet.trafficClass) << 20 | entropy.flowLabel
            let header =
                big(first) + big(UInt16(truncatingIfNeeded: payload)) + [protocolNumber, 64]
            return header + source + backend.address.bytes + udp
        }
    }

    private func source(of backend: Tables.Backend, _ entropy: Entropy) -> [UInt8] {
        var bytes = backend.source.bytes
        let mask = big(backend.sourceEntropy)
        for (index, (value, mask)) in zip(entropy.addressBytes, mask).enumerated() {
            bytes[bytes.count - 4 + index] |= value & mask
        }
        return bytes
    }
}

/// An Ethernet header with its VLAN tags.
func linkHeader(
    to destination: [UInt8], from source: [UInt8], tags: [Tag], type: UInt16
) -> [UInt8] {
    destination + source + tags.flatMap(\.bytes) + big(type)
}
