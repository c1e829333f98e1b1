import Balancing
import CDatapath
import Control
import Model
import Packets
import XDPPlane

/// Tells in words what decided about a packet, one thing after the other.
struct Narration {
    let query: ExplainQuery
    /// What the packet met.
    let tables: Model.Tables
    /// What came of it.
    let outcome: Outcome
    let names: [ServiceID: Names]
    let now: FlowEpoch
    /// Of the kernel's interfaces, by their numbers.
    let interfaceName: (UInt32) -> String?

    var explanation: Explanation {
        var told = Explanation(verdict: verdict, text: text, steps: steps)
        told.service = outcome.service.map { name(ofService: $0) }
        if let slot = outcome.slot {
            told.slot = Int(slot)
            told.phase = word?.phase.rawValue
            told.owner = word?.owner.map(name)
            told.formerOwner = word?.former.flatMap { $0 == word?.owner ? nil : name($0) }
        }
        told.pin = pin
        told.backend = outcome.chosen.map { name(ofBackend: $0) }
        told.forwarding = backend.flatMap { Forwarding(number: UInt8($0.forwarding)) }
        if let backend, let egress = tables.egresses[backend.egress] {
            told.interface = name(of: egress)
            told.neighbour = "\(macAddress(backend.neighbour))"
        }
        let leaves =
            switch outcome.action {
            case .transmit, .redirect: true
            case .drop, .pass: false
            }
        if leaves { told.packet = hexadecimal(outcome.frame) }
        return told
    }

    /// In the order in which the program takes them: docs/life-of-a-packet.md.
    private var steps: [Explanation.Step] {
        [
            serviceStep, sourceStep, accessStep, hashStep, slotStep, pinStep, backendStep,
            portStep, nextHopStep, packetStep,
        ].compactMap(\.self)
    }

    // MARK: What was met

    private var words: VerdictWords? { VerdictWords(outcome.verdict.rawValue) }
    var verdict: String { words?.name ?? "\(outcome.verdict.rawValue)" }
    var text: String { words?.text ?? "" }

    var service: Model.Tables.Service? {
        outcome.service.flatMap { id in tables.services.values.first { $0.id == id } }
    }

    var backend: Model.Tables.Backend? { outcome.chosen.flatMap { tables.backends[$0] } }

    /// The slot's word; nil: the packet came to none.
    var word: Slot? {
        guard let service, let slot = outcome.slot, let words = tables.slots[service.id],
            Int(slot) < words.count
        else { return nil }
        return Slot(word: words[Int(slot)])
    }

    /// Whether the packet begins a flow, as far as the program can tell.
    var begins: Bool {
        query.transport == .tcp ? query.isNewFlow : service?.tracks == true || isFullNAT
    }

    var isFullNAT: Bool { service?.isFullNAT == true }

    private var pin: String? {
        if let entry = outcome.entry { return RecordedFlow.State(entry.state)?.rawValue }
        return outcome.natFlow.flatMap { stateName(of: $0.flow) }
    }

    // MARK: Names

    func name(ofService id: UInt32) -> String {
        names[ServiceID(id)]?.service ?? "service \(id)"
    }

    func name(ofBackend id: UInt32) -> String {
        guard let backend = tables.backends[id] else { return "backend \(id)" }
        return names[ServiceID(backend.service)]?.backends[backend.address]
            ?? "\(backend.address)"
    }

    func name(_ backend: BackendID) -> String { name(ofBackend: UInt32(backend.number)) }

    func name(of egress: Model.Tables.Egress) -> String {
        let name = interfaceName(egress.interface) ?? "interface \(egress.interface)"
        return ([name] + egress.tags.map { "\($0.control & 0xfff)" }).joined(separator: ".")
    }

    func stateName(of flow: NATFlow) -> String? {
        switch martlet_nat_state(flow.state) {
        case MARTLET_NAT_OPENING, MARTLET_NAT_ANSWERED: RecordedFlow.State.halfOpen.rawValue
        case MARTLET_NAT_ESTABLISHED: RecordedFlow.State.established.rawValue
        case MARTLET_NAT_CLOSING: RecordedFlow.State.closing.rawValue
        case MARTLET_NAT_ASKING, MARTLET_NAT_TALKING: RecordedFlow.State.datagrams.rawValue
        default: nil
        }
    }
}

func macAddress(_ bytes: [UInt8]) -> MACAddress {
    MACAddress(bytes.reduce(0) { $0 << 8 | UInt64($1) })
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`
func end(_ address: IPAddress, _ port: UInt16) -> String {
    address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)"
}
