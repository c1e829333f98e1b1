import CDatapath
import Packets

/// An answer of a backend, and how it leaves.
private struct Answer {
    var ends: Ends
    /// Where its client's packets come from; nil: the kernel is asked.
    var lastHop: NATFlow.Hop?
    var place: NAT.Place?
    /// Of the flow at that place.
    var tag: UInt32 = 0
}

extension Decision {
    /// Docs §4: what is for no VIP may be the answer of a backend.
    mutating func carryAnswer() -> Outcome {
        if isMartian { return end(MARTLET_PASS_NO_SERVICE) }
        let answer: Answer
        switch findAnswer() {
        case .found(let found): answer = found
        case .none(let verdict): return end(verdict)
        }
        if packet.ttl <= 1 { return end(MARTLET_DROP_EXPIRED) }
        if let hop = answer.lastHop { return send(answer, to: hop) }
        switch tables.kernel.way(to: answer.ends.destination.address, bytes: packet.ipBytes) {
        case .neighbour(let neighbour, let interface):
            guard let egress = tables.egressNumbers[interface] else { return pass(answer) }
            return send(answer, to: NATFlow.Hop(neighbour: neighbour, egress: egress))
        case .unresolved: return pass(answer)
        case .tooBig(let mtu): return tellSender(mtu: mtu)
        // For this host itself, like the answer to a health check; a NAT flow's never is.
        case .notForwarded:
            return end(answer.place == nil ? MARTLET_PASS_NO_SERVICE : MARTLET_PASS_NO_ROUTE)
        case .forwardingIsOff: return end(MARTLET_PASS_NO_ROUTE)
        }
    }

    private enum Search {
        case found(Answer)
        case none(martlet_verdict)
    }

    private mutating func findAnswer() -> Search {
        let flow = packet.flow
        if packet.kind == .laterFragment {
            guard let note, let vip = note.vip else { return .none(MARTLET_PASS_NO_SERVICE) }
            if let place = note.place {
                let found = answer(at: place)
                // The port may be another flow's by now.
                guard case .found(let answer) = found, UInt64(answer.tag) != note.hash else {
                    return found
                }
                return .none(MARTLET_PASS_NAT_ADDRESS)
            }
            return .found(
                Answer(ends: Ends(source: .init(vip, 0), destination: .init(flow.destination, 0))))
        }
        if tables.nat.asksAddresses, let number = tables.nat.numbers[flow.destination] {
            return answer(at: NAT.Place(address: number, port: flow.destinationPort))
        }
        guard tables.nat.asksReturns else { return .none(MARTLET_PASS_NO_SERVICE) }
        let own = NAT.End(
            address: flow.source, port: flow.sourcePort, transport: flow.transport)
        let any = NAT.End(address: flow.source, port: 0, transport: flow.transport)
        guard let found = tables.nat.returns[own] ?? tables.nat.returns[any] else {
            return .none(MARTLET_PASS_NO_SERVICE)
        }
        let port = found.port == 0 ? flow.sourcePort : found.port
        let destination = NATFlow.End(flow.destination, flow.destinationPort)
        return .found(
            Answer(ends: Ends(source: .init(found.vip, port), destination: destination)))
    }

    /// Of `full-nat`: the flow at this place, if its backend is who answers.
    private mutating func answer(at place: NAT.Place) -> Search {
        guard tables.nat.tables.contains(place.address), let flow = tables.nat.flows[place]
        else { return .none(MARTLET_PASS_NAT_ADDRESS) }
        if flow.isBeingMade { return .none(MARTLET_DROP_NAT_BUSY) }
        guard flow.backend.address == packet.flow.source else {
            return .none(MARTLET_PASS_NAT_ADDRESS)
        }
        let answer = Answer(
            ends: Ends(
                source: flow.vip, destination: flow.client, hidesRouters: true,
                identification: UInt16(truncatingIfNeeded: flow.tag)),
            lastHop: flow.lastHop, place: place, tag: flow.tag)
        if packet.kind == .laterFragment { return .found(answer) }
        guard flow.backend.port == packet.flow.sourcePort,
            flow.isUDP == (packet.flow.transport == 17)
        else { return .none(MARTLET_PASS_NAT_ADDRESS) }
        if !isError { renew(flow, at: place, isAnswer: true) }
        return .found(answer)
    }

    private mutating func send(_ answer: Answer, to hop: NATFlow.Hop) -> Outcome {
        guard let egress = tables.egresses[hop.egress] else {
            return end(MARTLET_DROP_BROKEN_TABLE)
        }
        if packet.ipBytes > egress.mtu { return tellSender(mtu: egress.mtu) }
        leaveNote(answer)
        var outcome = outcome
        outcome.verdict = MARTLET_FORWARD_RETURN
        outcome.frame =
            linkHeader(
                to: hop.neighbour, from: egress.address, tags: egress.tags,
                type: packet.family == .v4 ? 0x0800 : 0x86dd)
            + oneHopOlder(translated(to: answer.ends))
        outcome.action = action(of: egress)
        return outcome
    }

    /// The kernel sends it, and counts the hop.
    private mutating func pass(_ answer: Answer) -> Outcome {
        leaveNote(answer)
        var outcome = outcome
        outcome.verdict = MARTLET_PASS_RETURN
        outcome.frame = packet.frame[..<packet.ipStart] + translated(to: answer.ends)
        outcome.action = .pass
        return outcome
    }

    private mutating func leaveNote(_ answer: Answer) {
        guard packet.isFirstFragment else { return }
        outcome.note = (
            packet.fragmentKey,
            Tables.Fragment(
                hash: UInt64(answer.tag), place: answer.place, left: now,
                vip: answer.ends.source.address)
        )
    }
}
