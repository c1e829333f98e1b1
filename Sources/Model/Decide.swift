public import CDatapath
import Packets

/// What the data path makes of a frame, with what it went by.
public struct Outcome: Sendable {
    public enum Action: Hashable, Sendable {
        case drop
        case pass
        /// `XDP_TX`: out of the interface that it came in by.
        case transmit
        case redirect(interface: UInt32)
    }

    public var verdict: martlet_verdict
    public var action: Action
    /// The frame as it leaves the program.
    public var frame: [UInt8]
    /// The service that it counts for.
    public var service: UInt32?
    /// The backend that it counts for.
    public var backend: UInt32?
    public var isNewFlow = false
    /// What a first fragment leaves behind for the later ones.
    public var note: (key: Tables.FragmentKey, value: Tables.Fragment)?
    /// What becomes of a flow of `full-nat`; nil: the place is free.
    public var flowChange: (place: NAT.Place, flow: NATFlow?)?
    /// What it writes into the flow table; 0: the place is free.
    public var flowWords: [FlowPlace: UInt64] = [:]
    /// What becomes of the number of open flows of backends.
    public var loadChanges: [UInt32: Int] = [:]
    /// Whether it takes a turn of its service's.
    public var takesTurn = false
    /// What happened in the flow table.
    public var flowEvents: [martlet_flow_event] = []
    /// The flow that was looked up, its hash and its slot, as far as it came.
    public var flow: Flow?
    public var hash: UInt64?
    public var slot: UInt32?
    /// What it was found to have, as it was before: its entry, the affinity of its client, and its
    /// flow of `full-nat` with its place.
    public var entry: FlowEntry?
    public var affinity: FlowEntry?
    public var natFlow: (place: NAT.Place, flow: NATFlow)?
    /// The owners among which the backend of a new flow was chosen, in the order in which they
    /// were tried; 0: nobody.
    public var tried: [UInt32] = []
    /// The backend that it was to go to, whether it gets there or not.
    public var chosen: UInt32?
}

/// What it does with `frame`, which came in by `interface`: docs/life-of-a-packet.md.
///
/// - Parameters:
///   - now: The time in units of 2^30 ns, for the flows that are remembered.
///   - mayTellSender: Whether this CPU may still send an ICMP error in this tick.
public func decide(
    _ frame: [UInt8], from interface: UInt32, by tables: Tables, at now: UInt32 = 0,
    mayTellSender: Bool = true
) -> Outcome {
    switch parse(frame) {
    case .verdict(let verdict): return Outcome(verdict, frame)
    case .packet(let packet):
        var decision = Decision(
            packet: packet, interface: interface, tables: tables, now: now,
            mayTellSender: mayTellSender)
        let outcome = decision.make()
        let mayBeAnswer =
            (tables.nat.asksReturns || tables.nat.asksAddresses)
            && (decision.isError || packet.kind == .laterFragment
                || packet.kind == .flow && packet.problem == nil)
        guard outcome.verdict == MARTLET_PASS_NO_SERVICE, mayBeAnswer else { return outcome }
        return decision.carryAnswer()
    }
}

extension Outcome {
    /// A verdict that leaves the frame as it is.
    init(_ verdict: martlet_verdict, _ frame: [UInt8]) {
        self.verdict = verdict
        self.frame = frame
        action = verdict.rawValue >= MARTLET_FIRST_DROP.rawValue ? .drop : .pass
    }
}

/// One packet on its way through the tables.
struct Decision {
    var packet: Packet
    let interface: UInt32
    let tables: Tables
    let now: UInt32
    let mayTellSender: Bool
    let isMartian: Bool
    var outcome: Outcome
    /// Whether it is an ICMP error about `packet.flow`, which then is not its own.
    var isError = false

    init(packet: Packet, interface: UInt32, tables: Tables, now: UInt32, mayTellSender: Bool) {
        self.packet = packet
        self.interface = interface
        self.tables = tables
        self.now = now
        self.mayTellSender = mayTellSender
        isMartian = packet.isMartian
        outcome = Outcome(MARTLET_PASS_NO_SERVICE, packet.frame)
    }

    mutating func make() -> Outcome {
        if let problem = packet.problem { return ifForVIP(problem) }
        switch packet.kind {
        case .flow: return balance()
        case .laterFragment: return followFirstFragment()
        case .icmp: return judgeICMP()
        case .other:
            // Two balancers that name each other would pass a tunnel round in circles.
            let isTunnel = packet.flow.transport == 4 || packet.flow.transport == 41
            return ifForVIP(isTunnel ? MARTLET_DROP_TUNNEL : MARTLET_PASS_VIP_PROTOCOL)
        }
    }

    /// The outcome, with `verdict` on an unchanged frame.
    func end(_ verdict: martlet_verdict) -> Outcome {
        var outcome = outcome
        let plain = Outcome(verdict, packet.frame)
        (outcome.verdict, outcome.action, outcome.frame) = (verdict, plain.action, plain.frame)
        return outcome
    }

    func ifForVIP(_ verdict: martlet_verdict) -> Outcome {
        end(tables.vip(of: packet.flow.destination) == nil ? MARTLET_PASS_NO_SERVICE : verdict)
    }

    // MARK: Service: §2

    /// A packet with ports, or an ICMP error about one.
    mutating func balance() -> Outcome {
        let service: Tables.Service
        switch tables.service(of: packet.flow, forError: isError) {
        case .found(let found): service = found
        case .none(let verdict): return end(verdict)
        }
        outcome.service = service.id
        outcome.isNewFlow = packet.isNewFlow
        outcome.flow = packet.flow
        if isMartian { return end(MARTLET_DROP_MARTIAN) }
        guard tables.lets(packet.flow.source, use: service) else {
            return end(MARTLET_DROP_SOURCE_DENIED)
        }

        let hash = flowHash(of: packet.flow, key: tables.hashKey)
        outcome.hash = hash
        let choice =
            service.isFullNAT
            ? chooseNATFlow(service, hash: hash) : chooseSlot(service, hash: hash)
        let (id, place): (UInt32, NAT.Place?)
        switch choice {
        case .verdict(let verdict): return end(verdict)
        case .backend(let chosen, let at): (id, place) = (chosen, at)
        }
        outcome.chosen = id
        guard let backend = tables.backends[id], backend.service == service.id else {
            return end(MARTLET_DROP_BROKEN_TABLE)
        }
        if packet.isFirstFragment {
            outcome.note = (
                packet.fragmentKey,
                Tables.Fragment(
                    service: service.id, backend: id, hash: hash, place: place, left: now)
            )
        }
        return forward(to: backend, id: id, hash: hash, place: place)
    }

    /// Where a packet is to go.
    enum Choice {
        /// With the flow's place among the NAT flows, if it has one.
        case backend(UInt32, place: NAT.Place?)
        case verdict(martlet_verdict)
    }

    /// The slot's owner, or who the flow table says has the flow.
    mutating func chooseSlot(_ service: Tables.Service, hash: UInt64) -> Choice {
        guard let flow = slotted(service, hash: hash) else {
            return .verdict(MARTLET_DROP_BROKEN_TABLE)
        }
        if service.tracks || flow.looks { return lookUp(flow) }
        return flow.owner == 0
            ? .verdict(MARTLET_DROP_NO_BACKEND) : .backend(flow.owner, place: nil)
    }

    /// The flow with its slot; nil: there is none.
    mutating func slotted(_ service: Tables.Service, hash: UInt64) -> SlottedFlow? {
        var client = packet.flow
        client.sourcePort = 0
        let slotHash =
            service.hasClientAffinity ? flowHash(of: client, key: tables.hashKey) : hash
        let slot = UInt32(truncatingIfNeeded: slotHash) & service.slotMask
        outcome.slot = slot
        guard let slots = tables.slots[service.id], slots.count == Int(service.slotMask) + 1 else {
            return nil
        }
        return SlottedFlow(
            service: service, hash: hash, slotHash: slotHash, slot: slot, slots: slots)
    }

    /// What the first fragment has left behind: an identification comes again (RFC 791 §3.2), and
    /// then a note is about another packet.
    var note: Tables.Fragment? {
        guard let note = tables.fragments[packet.fragmentKey] else { return nil }
        let age = (now &- note.left) & (1 << UInt32(MARTLET_NAT_TIME_BITS.rawValue) - 1)
        return age > MARTLET_FRAGMENT_AGE.rawValue ? nil : note
    }

    /// RFC 1858 §3.1, and what the first fragment left behind.
    mutating func followFirstFragment() -> Outcome {
        guard tables.vip(of: packet.flow.destination) != nil else {
            return end(MARTLET_PASS_NO_SERVICE)
        }
        if isMartian { return end(MARTLET_DROP_MARTIAN) }
        if packet.flow.transport == 6, let offset = packet.fragmentation?.offset, offset < 20 {
            return end(MARTLET_DROP_FRAGMENT_OVERLAP)
        }
        guard let note, note.service != 0, let backend = tables.backends[note.backend],
            backend.service == note.service
        else { return end(MARTLET_DROP_FRAGMENT) }
        outcome.service = note.service
        return forward(to: backend, id: note.backend, hash: note.hash, place: note.place)
    }
}

extension Packet {
    var fragmentKey: Tables.FragmentKey {
        Tables.FragmentKey(
            source: flow.source, destination: flow.destination,
            identification: fragmentation?.identification ?? 0,
            // IPv6 fragments may differ in it: RFC 8200 §4.5.
            transport: family == .v4 ? flow.transport : 0)
    }
}

// MARK: - Looking up

extension Tables {
    enum Search {
        case found(Service)
        case none(martlet_verdict)
    }

    /// The most specific VIP that has the address.
    func vip(of address: IPAddress) -> VIP? {
        guard filter.contains(filterBit(of: address)) else { return nil }
        return vips.filter { $0.prefix.covers(address) }.max { $0.prefix.length < $1.prefix.length }
    }

    func service(of flow: Flow, forError isError: Bool) -> Search {
        var key = ServiceKey(
            address: flow.destination, port: flow.destinationPort, transport: flow.transport)
        if let service = services[key] { return .found(service) }
        guard let vip = vip(of: flow.destination) else { return .none(MARTLET_PASS_NO_SERVICE) }
        key.address = vip.base
        if let service = services[key] { return .found(service) }
        key.port = 0
        if let service = services[key] { return .found(service) }
        if isError { return .none(MARTLET_PASS_ICMP) }
        return .none(vip.dropsOthers ? MARTLET_DROP_VIP_PORT : MARTLET_PASS_VIP_PORT)
    }

    func lets(_ source: IPAddress, use service: Service) -> Bool {
        guard service.hasAccessList else { return true }
        let rule = access.filter { $0.service == service.id && $0.prefix.covers(source) }
            .max { $0.prefix.length < $1.prefix.length }
        return rule?.isAllowed ?? !service.deniesOthers
    }
}
