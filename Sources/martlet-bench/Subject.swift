import BPF
import Balancing
import Packets
import XDPPlane

/// One row of the benchmark: a packet and the tables it meets.
struct Subject {
    let name: String
    let frame: [UInt8]
    /// A power of two: the source addresses that take turns at random.
    let flows: Int
    let plane: XDPPlane
}

/// Tables with some services, of which the first is measured.
func makePlane(
    vip: IPAddress, forwarding: Forwarding, backendFamily: IPFamily, backends: Int,
    services: Int = 1
) throws -> XDPPlane {
    let plane = try XDPPlane(takingOver: PinDirectory("/sys/fs/bpf/martlet-no-such"))
    let addresses = (1...backends).map { number -> IPAddress in
        switch backendFamily {
        case .v4: .v4(IPv4Address(0xC0A8_0000 + UInt32(number)))
        case .v6: .v6(IPv6Address(0xfd00 << 112 | UInt128(number)))
        }
    }
    let members = addresses.map { SlotTable.Member(address: $0, weight: 1) }
    let slots = SlotTable(members: members, count: 1 << 16)
    let source: IPAddress =
        backendFamily == .v4
        ? .v4(IPv4Address(0xC0A8_FF01)) : .v6(IPv6Address(0xfd00 << 112 | 0xff01))
    // The loopback, where a test run says that its packets come from: so they leave by XDP_TX.
    let hop = NextHop(
        egress: Egress(index: 1, name: "lo", address: MACAddress(0x0200_0000_00AA), mtu: 1500),
        neighbour: MACAddress(0x0200_0000_00BB), source: source)
    let targets = (0..<services).map { number in
        // All but the first have one backend and a small table: they are there to be in the way.
        let own = number == 0 ? addresses : [addresses[0]]
        return Target(
            vip: VIP(vip),
            keys: [ServiceKey(vip: vip, port: UInt16(80 + number), transport: .tcp)],
            forwarding: forwarding,
            backends: own.map { Target.Backend(address: $0, nextHop: hop) },
            slots: number == 0 ? slots : SlotTable(members: [members[0]], count: 2))
    }
    for step in try Plan(from: PlaneContents(), to: targets, others: .removed).steps {
        try plane.apply(step)
    }
    return plane
}
