import BPF
import Balancing
import Packets
import XDPPlane

/// One row of the benchmark: a packet and the tables it meets.
struct Subject {
    let row: Row
    var frame: [UInt8]
    var variety = Variety.source
    let plane: XDPPlane
    /// What has to become of every packet.
    let verdict: String
    /// What has to be done each time before packets are sent.
    var prepare: () throws -> Void = {}
    /// What has to be so of every packet beside its verdict.
    var evidence: Evidence?

    /// Whether the balancer without tables writes the same.
    var isPlain: Bool { row.family == 4 && verdict == "FORWARD_IPIP" }
}

/// A number that grows with each packet of which something is so.
struct Evidence {
    let claim: String
    let count: () throws -> UInt64

    init(_ claim: String, _ count: @escaping () throws -> UInt64) {
        self.claim = claim
        self.count = count
    }
}

/// What tells a row from the others.
struct Row: Encodable, Hashable {
    /// `established`, `SYN`, `answer`, or `not for a service`, and what is special about it.
    var packet: String
    /// Of the VIP and of the backends: 4 or 6.
    var family: UInt8
    var forwarding: String
    /// A power of two: the clients that take turns at random.
    var flows: Int
    var services: Int
    var backends: Int

    init(_ packet: String, _ setup: Setup, flows: Int) {
        self.packet = packet
        family = setup.family.rawValue
        forwarding = setup.forwarding.rawValue
        self.flows = flows
        services = setup.services
        backends = setup.backends
    }
}

/// The tables that rows share.
struct Setup: Hashable {
    var family: IPFamily
    var forwarding: Forwarding
    var services = 1
    var backends = 100
    /// What `full-nat` sends from.
    var natAddresses = 0
    /// Round-robin: every flow has an entry.
    var takesTurns = false
    /// The interface that packets leave by: the loopback, where a test run says that its packets
    /// come from, so that they leave by `XDP_TX`.
    var interface: UInt32 = 1

    var vip: IPAddress {
        family == .v4 ? .v4(IPv4Address(0xC000_0264)) : .v6(IPv6Address(0x2001_0db8 << 96 | 0x64))
    }

    func makePlane() throws -> XDPPlane {
        let plane = try XDPPlane(takingOver: PinDirectory("/sys/fs/bpf/martlet-no-such"))
        let pool = Plan.Pool(addresses: pool, use: NATUse())
        let plan = try Plan(from: PlaneContents(), to: targets(), others: .removed, pool: pool)
        for step in plan.steps { try plane.apply(step) }
        guard forwarding.isTranslation else { return plane }
        let exits = Plan(from: PlaneContents(), toExits: [interface: hop.egress])
        for step in exits.steps { try plane.apply(step) }
        return plane
    }

    /// A packet of the first client.
    func frame(isSYN: Bool = false) -> [UInt8] {
        tcpFrame(from: client(0, family), to: End(address: vip, port: 80), isSYN: isSYN)
    }

    /// What becomes of packets for the service.
    var verdict: String {
        "FORWARD_" + String(forwarding.rawValue.uppercased().map { $0 == "-" ? "_" : $0 })
    }

    /// 198.18.0.1 and up, as many as there are to be.
    private var pool: [IPAddress] {
        (0..<natAddresses).map { .v4(IPv4Address(0xC612_0001 + UInt32($0))) }
    }

    /// The service that is measured, and others without backends, which are there to be in the way.
    private func targets() -> [Target] {
        let members = addresses.map { SlotTable.Member(address: $0, weight: 1) }
        return (0..<services).map { number in
            let isMeasured = number == 0
            return Target(
                vip: VIP(vip),
                keys: [ServiceKey(vip: vip, port: UInt16(80 + number), transport: .tcp)],
                forwarding: forwarding,
                selection: takesTurns
                    ? Selection(scheduler: .roundRobin, tracks: true) : Selection(),
                backends: isMeasured
                    ? addresses.map { Target.Backend(address: $0, nextHop: hop) } : [],
                slots: SlotTable(
                    members: isMeasured ? members : [], count: isMeasured ? 1 << 16 : 2))
        }
    }

    var addresses: [IPAddress] {
        (1...backends).map { number in
            switch family {
            case .v4: .v4(IPv4Address(0xC0A8_0000 + UInt32(number)))
            case .v6: .v6(IPv6Address(0xfd00 << 112 | UInt128(number)))
            }
        }
    }

    var hop: NextHop {
        NextHop(
            egress: Egress(
                index: interface, name: "egress", address: MACAddress(0x0200_0000_00AA),
                mtu: 1500),
            neighbour: MACAddress(0x0200_0000_00BB),
            source: family == .v4
                ? .v4(IPv4Address(0xC0A8_FF01)) : .v6(IPv6Address(0xfd00 << 112 | 0xff01)))
    }
}

/// Every row, those with the same tables one after the other.
func makeSubjects(_ harness: borrowing Harness) throws -> [Subject] {
    var subjects: [Subject] = []
    let flows = [1, 1 << 10, 1 << 16, 1 << 20]
    for family in [IPFamily.v4, .v6] {
        for forwarding in [Forwarding.ipip, .l2DSR, .gue, .nat] {
            let setup = Setup(family: family, forwarding: forwarding)
            let plane = try setup.makePlane()
            for isSYN in [false, true] {
                subjects += flows.map { question(setup, plane, isSYN: isSYN, flows: $0) }
            }
            if forwarding == .ipip { subjects.append(miss(setup, plane)) }
            if forwarding == .nat, family == .v4 {
                subjects += [1, 1 << 20].map { answer(setup, plane, flows: $0) }
            }
        }
    }
    subjects += try makeRecordedSubjects(harness)
    subjects += try makeFullNATSubjects(harness)
    for setup in [
        Setup(family: .v4, forwarding: .ipip, services: 10_000),
        Setup(family: .v4, forwarding: .ipip, backends: 4000),
    ] {
        let plane = try setup.makePlane()
        subjects += [1, 1 << 20].map { question(setup, plane, flows: $0) }
        if setup.services > 1 { subjects.append(miss(setup, plane)) }
    }
    return subjects
}

/// A packet of a client.
func question(
    _ setup: Setup, _ plane: XDPPlane, isSYN: Bool = false, flows: Int
) -> Subject {
    Subject(
        row: Row(isSYN ? "SYN" : "established", setup, flows: flows),
        frame: setup.frame(isSYN: isSYN), plane: plane, verdict: setup.verdict)
}

/// What the first backend of a `nat` service answers.
private func answer(_ setup: Setup, _ plane: XDPPlane, flows: Int) -> Subject {
    Subject(
        row: Row("answer", setup, flows: flows),
        frame: tcpFrame(from: End(address: setup.addresses[0], port: 80), to: client()),
        variety: .destination, plane: plane, verdict: "FORWARD_RETURN")
}

/// A packet for somebody else, which goes to the kernel.
private func miss(_ setup: Setup, _ plane: XDPPlane) -> Subject {
    let other: IPAddress =
        setup.family == .v4
        ? .v4(IPv4Address(0xC633_6464)) : .v6(IPv6Address(0x2001_0db8 << 96 | 0xfffe))
    var row = Row("not for a service", setup, flows: 1)
    row.forwarding = ""
    return Subject(
        row: row,
        frame: tcpFrame(from: client(0, setup.family), to: End(address: other, port: 80)),
        plane: plane, verdict: "PASS_NO_SERVICE")
}
