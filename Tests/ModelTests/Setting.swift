import CDatapath
import Fuzzing
import Model
import Packets
import Testing

/// The tables that most claims are about: two VIPs, 192.0.2.100 and 2001:db8::64, with a service on
/// TCP port 80 and UDP port 53 and one backend.
struct Setting {
    var tables = Tables()
    var mayTellSender = true

    /// The interface that every frame comes in by, and the one that the backend is behind.
    static let interface: UInt32 = 4
    static let service: UInt32 = 1
    static let backend: UInt32 = 9
    static let vip = IPAddress.v4(IPv4Address(0xC000_0264))
    static let vip6 = IPAddress.v6(IPv6Address(0x2001_0db8 << 96 | 0x64))

    private static let everyBit = Set(0..<Int(MARTLET_VIP_FILTER_BITS.rawValue))

    /// - Parameter family: Of the backend: 203.0.113.9 from 203.0.113.254, or 2001:db8:9::9 from
    ///   2001:db8:9::fe.
    init(
        _ forwarding: martlet_forwarding = MARTLET_L2_DSR, over family: IPFamily = .v4,
        mtu: Int = 1500
    ) {
        let network: UInt128 = 0x2001_0db8_0009 << 80
        tables.egresses[1] = Tables.Egress(
            interface: Self.interface, mtu: mtu, address: bytes("0200 0000 00aa"), tags: [],
            isRedirectedBack: false)
        tables.backends[Self.backend] = Tables.Backend(
            service: Self.service, forwarding: forwarding.rawValue,
            address: family == .v4
                ? .v4(IPv4Address(0xCB00_7109)) : .v6(IPv6Address(network | 9)),
            source: family == .v4
                ? .v4(IPv4Address(0xCB00_71FE)) : .v6(IPv6Address(network | 0xfe)),
            sourceEntropy: 0, tunnelPort: 6080, neighbour: bytes("0200 0000 00bb"), egress: 1)
        tables.slots[Self.service] = [UInt32](repeating: Self.backend, count: 8)
        // Bytes 00 to 0f, as the authors of SipHash take them.
        tables.hashKey = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908)
        tables.filter = Self.everyBit
        for (vip, bits) in [(Self.vip, 0xffff_c000_0264), (Self.vip6, 0x2001_0db8 << 96 | 0x64)]
            as [(IPAddress, UInt128)]
        {
            addVIP(vip, Prefix(bits: bits, length: 128))
            addService(on: vip, port: 80, transport: 6)
            addService(on: vip, port: 53, transport: 17)
        }
    }

    mutating func addVIP(_ base: IPAddress, _ prefix: Prefix) {
        tables.vips.append(
            Tables.VIP(prefix: prefix, base: base, answersEcho: false, dropsOthers: false))
    }

    mutating func addService(
        _ id: UInt32 = Self.service, on address: IPAddress, port: UInt16, transport: UInt8
    ) {
        let key = Tables.ServiceKey(address: address, port: port, transport: transport)
        tables.services[key] = Tables.Service(
            id: id, hasAccessList: false, deniesOthers: false, slotMask: 7)
    }

    mutating func changeVIPs(_ change: (inout Tables.VIP) -> Void) {
        for index in tables.vips.indices { change(&tables.vips[index]) }
    }

    mutating func changeServices(_ change: (inout Tables.Service) -> Void) {
        tables.services = tables.services.mapValues { service in
            var service = service
            change(&service)
            return service
        }
    }

    mutating func changeBackend(_ change: (inout Tables.Backend) -> Void) {
        tables.backends = tables.backends.mapValues { backend in
            var backend = backend
            change(&backend)
            return backend
        }
    }

    mutating func changeEgress(_ change: (inout Tables.Egress) -> Void) {
        tables.egresses = tables.egresses.mapValues { egress in
            var egress = egress
            change(&egress)
            return egress
        }
    }

    /// What the model makes of the frame.
    ///
    /// Of every frame it is looked at that the action is the one which the verdict's name says, and
    /// that nothing is changed in a frame that does not leave.
    func outcome(_ frame: [UInt8]) -> Outcome {
        let outcome = decide(
            frame, from: Self.interface, by: tables, mayTellSender: mayTellSender)
        switch outcome.verdictName.prefix(4) {
        case "PASS": #expect(outcome.action == .pass && outcome.frame == frame)
        case "DROP": #expect(outcome.action == .drop && outcome.frame == frame)
        default: #expect(outcome.action != .pass && outcome.action != .drop)
        }
        #expect((outcome.backend != nil) == outcome.verdictName.hasPrefix("FORWARD"))
        return outcome
    }

    /// The verdict on a frame, on an IPv4 packet, on an IPv6 packet.
    func frame(_ frame: [UInt8]) -> String { outcome(frame).verdictName }
    func v4(_ packet: [UInt8]) -> String { frame(ethernet(0x0800) + packet) }
    func v6(_ packet: [UInt8]) -> String { frame(ethernet(0x86dd) + packet) }
}

extension Outcome {
    /// The name of the verdict.
    var verdictName: String { name(verdict) }
}
