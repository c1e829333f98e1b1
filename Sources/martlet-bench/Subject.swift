import BPF
import Balancing
import Packets
import XDPPlane

/// One row of the benchmark: a packet and the tables it meets.
struct Subject {
    let row: Row
    let frame: [UInt8]
    let plane: XDPPlane
}

/// What tells a row from the others.
struct Row: Encodable, Hashable {
    /// `established`, `SYN`, or `not for a service`.
    var packet: String
    /// Of the VIP and of the backends: 4 or 6.
    var family: UInt8
    var forwarding: String
    /// A power of two: the source addresses that take turns at random.
    var flows: Int
    var services = 1
    var backends = 100
}

/// The tables that rows share.
struct Setup: Hashable {
    var family: IPFamily
    var forwarding: Forwarding
    var services = 1
    var backends = 100
    /// The interface that packets leave by: the loopback, where a test run says that its packets
    /// come from, so that they leave by `XDP_TX`.
    var interface: UInt32 = 1

    var vip: IPAddress {
        family == .v4 ? .v4(IPv4Address(0xC000_0264)) : .v6(IPv6Address(0x2001_0db8 << 96 | 0x64))
    }

    func makePlane() throws -> XDPPlane {
        let plane = try XDPPlane(takingOver: PinDirectory("/sys/fs/bpf/martlet-no-such"))
        for step in try Plan(from: PlaneContents(), to: targets(), others: .removed).steps {
            try plane.apply(step)
        }
        return plane
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
                backends: isMeasured
                    ? addresses.map { Target.Backend(address: $0, nextHop: hop) } : [],
                slots: SlotTable(
                    members: isMeasured ? members : [], count: isMeasured ? 1 << 16 : 2))
        }
    }

    private var addresses: [IPAddress] {
        (1...backends).map { number in
            switch family {
            case .v4: .v4(IPv4Address(0xC0A8_0000 + UInt32(number)))
            case .v6: .v6(IPv6Address(0xfd00 << 112 | UInt128(number)))
            }
        }
    }

    private var hop: NextHop {
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
func makeSubjects() throws -> [Subject] {
    var subjects: [Subject] = []
    func add(_ setup: Setup, _ plane: XDPPlane, isSYN: Bool, flows: Int) {
        subjects.append(
            Subject(
                row: Row(
                    packet: isSYN ? "SYN" : "established", family: setup.family.rawValue,
                    forwarding: setup.forwarding.rawValue, flows: flows,
                    services: setup.services, backends: setup.backends),
                frame: tcpFrame(to: setup.vip, isSYN: isSYN), plane: plane))
    }
    let flows = [1, 1 << 10, 1 << 16, 1 << 20]
    for family in [IPFamily.v4, .v6] {
        for forwarding in [Forwarding.ipip, .l2DSR, .gue] {
            let setup = Setup(family: family, forwarding: forwarding)
            let plane = try setup.makePlane()
            for isSYN in [false, true] {
                for flows in flows { add(setup, plane, isSYN: isSYN, flows: flows) }
            }
            if forwarding == .ipip { subjects.append(miss(setup, plane)) }
        }
    }
    for setup in [
        Setup(family: .v4, forwarding: .ipip, services: 10_000),
        Setup(family: .v4, forwarding: .ipip, backends: 4000),
    ] {
        let plane = try setup.makePlane()
        for flows in [1, 1 << 20] { add(setup, plane, isSYN: false, flows: flows) }
        if setup.services > 1 { subjects.append(miss(setup, plane)) }
    }
    return subjects
}

/// A packet for somebody else, which goes to the kernel.
private func miss(_ setup: Setup, _ plane: XDPPlane) -> Subject {
    let other: IPAddress =
        setup.family == .v4
        ? .v4(IPv4Address(0xC633_6464)) : .v6(IPv6Address(0x2001_0db8 << 96 | 0xfffe))
    return Subject(
        row: Row(
            packet: "not for a service", family: setup.family.rawValue, forwarding: "",
            flows: 1, services: setup.services, backends: setup.backends),
        frame: tcpFrame(to: other, isSYN: false), plane: plane)
}
