import Balancing
import CDatapath
import Control
import Model
import Packets

// Which backend has the flow, and how the packet gets there: docs/life-of-a-packet.md §3 and §6.

extension Narration {
    /// Nil: the packet did not come so far.
    var backendStep: Explanation.Step? {
        guard outcome.hash != nil else { return nil }
        guard let chosen = outcome.chosen else {
            return Explanation.Step("backend", "none", because: refusal)
        }
        return Explanation.Step(
            "backend", name(ofBackend: chosen),
            because: isFullNAT && goesOn ? "it has the flow" : reason(for: chosen))
    }

    private var refusal: String {
        switch outcome.verdict {
        case MARTLET_DROP_BACKENDS_FULL:
            "those that could have it have as many flows as they may: \(loads(outcome.tried))"
        case MARTLET_DROP_NAT_NO_FLOW: "only a SYN opens a flow, and none did, or it is over"
        case MARTLET_DROP_NAT_BUSY: "another CPU is opening the flow at this moment"
        case MARTLET_DROP_NAT_EXHAUSTED:
            "every port that the flow could have is taken, or there is no NAT address"
        case MARTLET_DROP_NO_BACKEND: "no backend can have it: martlet status shows why"
        default: "the tables contradict each other"
        }
    }

    private func reason(for chosen: UInt32) -> String {
        if let entry = outcome.entry, !givesWay, entry.backend == chosen {
            return "it has the flow, by the entry"
        }
        let fallback = word?.fallback.map { UInt32($0.number) }
        guard begins else {
            if let word, !word.looks, service?.tracks != true { return "it owns the slot" }
            let isPinned = outcome.flowWords.values.contains { $0 != 0 }
            return "it has the flows of the slot that have no entry"
                + (isPinned ? "; the flow gets one now" : "")
        }
        if let word, !word.looks, service?.tracks != true, !isFullNAT { return "it owns the slot" }
        if outcome.flowEvents.contains(MARTLET_FLOW_FROZEN) {
            return "the flow table is nearly full: new flows go where they need no entry"
        }
        if outcome.flowEvents.last == MARTLET_FLOW_REFUSED, chosen == fallback {
            return "there is no room for an entry: so it goes where it needs none"
        }
        return choice(of: chosen)
    }

    /// Why the scheduler chose it for a new flow.
    private func choice(of chosen: UInt32) -> String {
        guard let service else { return "" }
        if let affinity = outcome.affinity, outcome.tried.isEmpty, affinity.backend == chosen {
            return "the client has been there, and stays"
        }
        let tried = unique(outcome.tried.prefix { $0 != chosen })
        let full = tried.filter { tables.load(of: $0).isFull }
        let others = full.isEmpty ? "" : "; before it were, and are full: \(loads(full))"
        if service.isRoundRobin {
            return "its turn comes next, if no other new flow comes before\(others)"
        }
        if service.isLeastCost {
            return "it costs least of those that were looked at, as things are now: "
                + loads(outcome.tried)
        }
        return full.isEmpty
            ? "it owns the slot, and so gets the new flow"
            : "it is the first that follows the slot and has room\(others)"
    }

    /// `server-a 3 of 10 flows, server-b 5 flows at 1200 µs and weight 2`
    private func loads(_ backends: [UInt32]) -> String {
        unique(backends).map { id in
            let load = tables.load(of: id)
            let limit = load.limit == 0 ? "" : " of \(load.limit)"
            let latency = load.latency > 1 ? " at \(load.latency) µs" : ""
            let weight = load.weight > 1 ? " (weight \(load.weight))" : ""
            return "\(name(ofBackend: id)) \(load.openFlows)\(limit) flows\(latency)\(weight)"
        }.joined(separator: ", ")
    }

    /// Each once, in their order, without nobody.
    private func unique(_ backends: some Sequence<UInt32>) -> [UInt32] {
        var seen: Set<UInt32> = [0]
        return backends.filter { seen.insert($0).inserted }
    }

    // MARK: On the way

    /// The port of a NAT address that a new flow gets; nil: it gets none.
    var portStep: Explanation.Step? {
        guard isFullNAT, !goesOn, let (place, flow) = outcome.flowChange, flow != nil else {
            return nil
        }
        return Explanation.Step(
            "NAT", text(place), because: "it is the first of the flow's ports that is free")
    }

    /// Nil: there is no backend.
    var nextHopStep: Explanation.Step? {
        guard let backend else { return nil }
        guard backend.egress != 0 else {
            return Explanation.Step(
                "next hop", "not known",
                because: "there is no way to \(backend.address): martlet status says why")
        }
        guard let egress = tables.egresses[backend.egress] else {
            return Explanation.Step("next hop", "none", because: "the tables contradict each other")
        }
        let mtu = backend.mtu == 0 ? egress.mtu : min(egress.mtu, backend.mtu)
        return Explanation.Step(
            "next hop", "\(macAddress(backend.neighbour)) on \(name(of: egress))",
            because: "that is the way to \(backend.address), which takes \(mtu) bytes")
    }

    var packetStep: Explanation.Step {
        switch outcome.action {
        case .transmit, .redirect:
            let way = backend.flatMap { tables.egresses[$0.egress] }.map { name(of: $0) }
            let place = way.map { " by \($0)" } ?? ""
            return Explanation.Step("packet", "\(outcome.frame.count) bytes leave\(place)")
        case .pass: return Explanation.Step("packet", "left to the kernel as it is")
        case .drop: return Explanation.Step("packet", "dropped")
        }
    }
}
