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
    func forward(
        to backend: Tables.Backend, id: UInt32, hash: UInt64, place: NAT.Place?
    ) -> Outcome {
        guard backend.egress != 0 else { return end(MARTLET_DROP_NO_NEXT_HOP) }
        guard let egress = tables.egresses[backend.egress] else {
            return end(MARTLET_DROP_BROKEN_TABLE)
        }
        if !backend.isTunnel, packet.ttl <= 1 { return end(MARTLET_DROP_EXPIRED) }
        let outer = outerHeaders(to: backend, Entropy(hash: hash))
        let mtu = min(egress.mtu, backend.mtu == 0 ? egress.mtu : backend.mtu)
        if packet.ipBytes + outer.count > mtu {
            return tellSender(mtu: mtu - outer.count)
        }

        let inner: [UInt8]
        if backend.isTunnel {
            inner = Array(packet.frame[packet.ipStart...])
        } else if backend.isNAT {
            guard let ends = ends(towards: backend, place, hash) else {
                return end(MARTLET_DROP_BROKEN_TABLE)
            }
            inner = oneHopOlder(translated(to: ends))
        } else {
            inner = oneHopOlder(Array(packet.frame[packet.ipStart...]))
        }
        let family = backend.isTunnel ? backend.address.family : packet.family
        var outcome = outcome
        outcome.frame =
            linkHeader(
                to: backend.neighbour, from: egress.address, tags: egress.tags,
                type: family == .v4 ? 0x0800 : 0x86dd) + outer + inner
        outcome.verdict = backend.verdict
        outcome.backend = id
        outcome.action = action(of: egress)
        return outcome
    }

    /// How a frame leaves by an egress.
    func action(of egress: Tables.Egress) -> Outcome.Action {
        egress.interface == interface && !egress.isRedirectedBack
            ? .transmit : .redirect(interface: egress.interface)
    }

    /// The ends that the packets of the flow have on the way to its backend.
    private func ends(
        towards backend: Tables.Backend, _ place: NAT.Place?, _ hash: UInt64
    ) -> Ends? {
        guard backend.address.family == packet.family, backend.isFullNAT == (place != nil) else {
            return nil
        }
        let flow = packet.flow
        let port = backend.port == 0 ? flow.destinationPort : backend.port
        let destination = NATFlow.End(backend.address, port)
        guard let place else {
            return Ends(source: .init(flow.source, flow.sourcePort), destination: destination)
        }
        guard let address = tables.nat.addresses[place.address] else { return nil }
        return Ends(
            source: .init(address, place.port), destination: destination, hidesRouters: true,
            identification: UInt16(truncatingIfNeeded: hash >> 32))
    }

    /// A packet, from its IP header on, with one less in TTL or hop limit.
    func oneHopOlder(_ packetBytes: [UInt8]) -> [UInt8] {
        var bytes = packetBytes
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
        guard backend.isTunnel else { return [] }
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

extension Tables.Backend {
    var isFullNAT: Bool { forwarding == MARTLET_FULL_NAT.rawValue }
    fileprivate var isNAT: Bool { forwarding == MARTLET_NAT.rawValue || isFullNAT }
    fileprivate var isTunnel: Bool {
        forwarding == MARTLET_IPIP.rawValue || forwarding == MARTLET_GUE.rawValue
    }

    fileprivate var verdict: martlet_verdict {
        switch martlet_forwarding(forwarding) {
        case MARTLET_L2_DSR: MARTLET_FORWARD_L2_DSR
        case MARTLET_GUE: MARTLET_FORWARD_GUE
        case MARTLET_NAT: MARTLET_FORWARD_NAT
        case MARTLET_FULL_NAT: MARTLET_FORWARD_FULL_NAT
        default: MARTLET_FORWARD_IPIP
        }
    }
}

/// An Ethernet header with its VLAN tags.
func linkHeader(
    to destination: [UInt8], from source: [UInt8], tags: [Tag], type: UInt16
) -> [UInt8] {
    destination + source + tags.flatMap(\.bytes) + big(type)
}
