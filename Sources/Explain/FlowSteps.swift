import Balancing
import CDatapath
import Control
import Model
import Packets
import XDPPlane

// What is known of the flow: docs/life-of-a-packet.md §5 and §6.

extension Narration {
    var hashStep: Explanation.Step? {
        guard let hash = outcome.hash else { return nil }
        let ends =
            "\(end(query.source, query.sourcePort)), "
            + "\(end(query.destination, query.destinationPort)) and \(query.transport.name)"
        let client =
            service?.hasClientAffinity == true
            ? "; the slot is that of the client, whatever its port" : ""
        return Explanation.Step(
            "hash", "0x\(String(hash, radix: 16))", because: "of \(ends)\(client)")
    }

    /// Nil: the packet came to no slot.
    var slotStep: Explanation.Step? {
        guard let slot = outcome.slot, let service else { return nil }
        guard let word else {
            return Explanation.Step(
                "slot", "\(slot)", because: "the service has no slots: its tables are broken")
        }
        return Explanation.Step(
            "slot", "\(slot) of \(UInt64(service.slotMask) + 1), \(word.phase.rawValue)",
            because: reason(of: word))
    }

    private func reason(of word: Slot) -> String {
        guard let owner = word.owner.map(name) else {
            return "nobody owns it: no backend of the service can have new flows"
                + (word.former.map { "; flows without an entry are \(name($0))'s" } ?? "")
        }
        let former = word.former.map(name) ?? owner
        switch word.phase {
        case .settled: return "\(owner) owns it"
        case .moving:
            return "\(owner) owns it; flows without an entry are \(former)'s, which owned it before"
        case .pinning:
            return "\(owner) owns it; flows without an entry are \(former)'s, which owned it "
                + "before, and get one"
        case .pinned:
            return "\(owner) owns it; flows that stay with another backend have an entry"
        }
    }

    // MARK: What is remembered

    /// Nil: the packet did not come so far.
    var pinStep: Explanation.Step? {
        if isFullNAT { return outcome.hash == nil ? nil : natStep }
        guard let word, let service else { return nil }
        guard service.tracks || word.looks else {
            return Explanation.Step(
                "pin", "not looked for",
                because: "the slot is settled, and the service records no flow that is where "
                    + "its slot says")
        }
        guard let entry = outcome.entry else {
            return Explanation.Step(
                "pin", "none",
                because: begins ? "the flow begins" : "the flow has no entry in the flow table")
        }
        let state = RecordedFlow.State(entry.state)?.rawValue ?? "\(entry.state.rawValue)"
        let epoch = FlowEpoch(UInt64(entry.epoch))
        let idle = epoch.leastIdleTime(at: now) / .seconds(1)
        let age =
            idle < 1 ? "its last packet came just now" : "idle for \(Int(idle)) s at least"
        return Explanation.Step(
            "pin", "\(state), with \(name(ofBackend: entry.backend))",
            because: givesWay
                ? "a flow that is over gives way to a new one"
                : "its entry in the flow table says so; \(age)")
    }

    /// Whether the flow has an entry that does not count, because it begins anew.
    var givesWay: Bool {
        query.transport == .tcp && query.isNewFlow
            && outcome.entry?.state == MARTLET_FLOW_CLOSING
    }

    private var natStep: Explanation.Step {
        guard let (place, flow) = outcome.natFlow else {
            return Explanation.Step(
                "pin", "none", because: "the flow has no port of a NAT address")
        }
        let state = stateName(of: flow) ?? "being opened"
        return Explanation.Step(
            "pin", "\(state), with \(name(ofBackend: flow.backendID))",
            because: goesOn
                ? "the flow goes on from \(text(place))"
                : "it had \(text(place)), and does not go on there: it is over, it begins anew, "
                    + "or its backend has become another one")
    }

    /// Whether a flow of `full-nat` stays where it is.
    var goesOn: Bool {
        outcome.natFlow != nil && outcome.slot == nil
            && outcome.chosen == outcome.natFlow?.flow.backendID
    }

    func text(_ place: NAT.Place) -> String {
        tables.nat.addresses[place.address].map { end($0, place.port) }
            ?? "NAT address \(place.address), port \(place.port)"
    }
}
