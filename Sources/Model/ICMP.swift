import CDatapath
import Packets

extension Decision {
    /// ICMP for a VIP: pings are answered, errors go to the backend whose flow they quote.
    mutating func judgeICMP() -> Outcome {
        if packet.isFirstFragment { return ifForVIP(MARTLET_DROP_FRAGMENT) }
        let type = packet.frame[packet.transportStart]
        if type == (packet.family == .v4 ? 8 : 128) { return judgeEcho() }
        if isError(type: type), let (flow, header) = quotedFlow() {
            packet.flow = flow
            packet.quotedBytes = header
            isError = true
            return balance()
        }
        return ifForVIP(MARTLET_PASS_ICMP)
    }

    /// RFC 792: unreachable, time exceeded, parameter problem. RFC 4443 §2.1: 1 to 4.
    private func isError(type: UInt8) -> Bool {
        packet.family == .v4 ? [3, 11, 12].contains(type) : (1...4).contains(type)
    }

    private func judgeEcho() -> Outcome {
        guard let vip = tables.vip(of: packet.flow.destination) else {
            return end(MARTLET_PASS_NO_SERVICE)
        }
        if isMartian { return end(MARTLET_DROP_MARTIAN) }
        return vip.answersEcho ? replyToEcho() : end(MARTLET_PASS_ICMP)
    }

    /// The flow of the packet that the error quotes, as its client sees it: that packet was on its
    /// way from the VIP. And how long its IP header is.
    private func quotedFlow() -> (Flow, header: Int)? {
        let (frame, at) = (packet.frame, packet.transportStart + 8)
        let left = packet.left - 8
        var header: Int
        var transport: UInt8
        switch packet.family {
        case .v4:
            guard at + 20 <= frame.count, let fragment = frame.number16(at + 6) else { return nil }
            header = Int(frame[at] & 15) * 4
            transport = frame[at + 9]
            guard frame[at] >> 4 == 4, header >= 20, fragment & 0x1fff == 0 else { return nil }
        case .v6:
            guard at + 40 <= frame.count, frame[at] >> 4 == 6 else { return nil }
            header = 40
            transport = frame[at + 6]
            if transport == 44 {
                guard let offset = frame.number16(at + 42), offset & 0xfff8 == 0 else {
                    return nil
                }
                header = 48
                transport = frame[at + 40]
            }
        }
        let ends = packet.family == .v4 ? (at + 12, at + 16) : (at + 8, at + 24)
        guard transport == 6 || transport == 17, left >= header + 8,
            at + header + 8 <= frame.count, let ports = frame.number32(at + header),
            let from = frame.address(ends.0, packet.family),
            let to = frame.address(ends.1, packet.family), from == packet.flow.destination
        else { return nil }
        let flow = Flow(
            source: to, destination: from, sourcePort: UInt16(truncatingIfNeeded: ports),
            destinationPort: UInt16(ports >> 16), transport: transport)
        return (flow, header)
    }
}
