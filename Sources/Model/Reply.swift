import CDatapath
import Packets

extension Decision {
    /// The answer to a ping: addresses change places, and nothing else but type and TTL.
    /// RFC 792 p. 14, RFC 4443 §4.2.
    func replyToEcho() -> Outcome {
        var ip = Array(packet.frame[packet.ipStart...])
        let addresses = packet.family == .v4 ? 12 : 8
        let size = packet.family == .v4 ? 4 : 16
        let source = Array(ip[addresses..<addresses + size])
        ip.replaceSubrange(
            addresses..<addresses + size, with: ip[addresses + size..<addresses + 2 * size])
        ip.replaceSubrange(addresses + size..<addresses + 2 * size, with: source)
        if packet.family == .v4 {
            ip.change(8, to: [64, ip[9]], checksumAt: 10)
        } else {
            ip[7] = 64
        }
        let icmp = packet.transportStart - packet.ipStart
        ip.change(icmp, to: [packet.family == .v4 ? 0 : 129, ip[icmp + 1]], checksumAt: icmp + 2)
        return reply(MARTLET_REPLY_ECHO, with: ip)
    }

    /// "Fragmentation needed" (RFC 792 p. 4, RFC 1191 §4) or "packet too big" (RFC 4443 §3.2).
    func tellSender(mtu: Int) -> Outcome {
        let quoted = Int(MARTLET_QUOTE_BYTES.rawValue)
        // RFC 1122 §3.2.2: no error about an error, nor about a later fragment.
        guard packet.kind == .flow, packet.ipBytes >= quoted, mayTellSender else {
            return end(MARTLET_DROP_TOO_BIG)
        }
        let mtu = UInt16(truncatingIfNeeded: mtu)
        let quote = Array(packet.ipPacket.prefix(quoted))
        let (from, to) = (packet.flow.destination.bytes, packet.flow.source.bytes)
        switch packet.family {
        case .v4:
            var icmp: [UInt8] = [3, 4, 0, 0] + big(UInt32(mtu)) + quote
            icmp.replaceSubrange(2..<4, with: big(checksum(icmp)))
            var ip: [UInt8] = [0x45, 0] + big(UInt16(20 + icmp.count))
            ip += [0, 0, 0x40, 0, 64, 1, 0, 0] + from + to
            ip.replaceSubrange(10..<12, with: big(checksum(ip)))
            return reply(MARTLET_REPLY_TOO_BIG, with: ip + icmp)
        case .v6:
            var icmp: [UInt8] = [2, 0, 0, 0] + big(UInt32(mtu)) + quote
            // With the pseudo-header of RFC 8200 §8.1.
            let pseudo = from + to + big(UInt32(icmp.count)) + [0, 0, 0, 58]
            icmp.replaceSubrange(2..<4, with: big(checksum(pseudo + icmp)))
            let ip: [UInt8] = [0x60, 0, 0, 0] + big(UInt16(icmp.count)) + [58, 64] + from + to
            return reply(MARTLET_REPLY_TOO_BIG, with: ip + icmp)
        }
    }

    /// Back to where the frame came from, with the tags it came with.
    private func reply(_ verdict: martlet_verdict, with ip: [UInt8]) -> Outcome {
        var outcome = outcome
        outcome.verdict = verdict
        outcome.frame =
            linkHeader(
                to: Array(packet.frame[6..<12]), from: Array(packet.frame[0..<6]),
                tags: packet.tags, type: packet.family == .v4 ? 0x0800 : 0x86dd) + ip
        outcome.action =
            tables.repliesAreRedirected ? .redirect(interface: interface) : .transmit
        return outcome
    }
}

extension [UInt8] {
    /// Replaces the 16-bit word at `at` and brings the checksum that covers it up to date.
    fileprivate mutating func change(_ at: Int, to word: [UInt8], checksumAt: Int) {
        guard let before = number16(at), let sum = number16(checksumAt) else { return }
        replaceSubrange(at..<at + 2, with: word)
        guard let after = number16(at) else { return }
        replaceSubrange(
            checksumAt..<checksumAt + 2, with: big(updated(sum, from: before, to: after)))
    }
}
