import CDatapath
import Model
import Packets
import Testing

/// docs/life-of-a-packet.md §2: for which service a packet is.
struct ServiceTests {
    @Test func `a service is found by address, port and protocol`() {
        let setting = Setting()
        #expect(setting.v4(ipv4(tcp())) == "FORWARD_L2_DSR")
        #expect(setting.v4(ipv4(udp(), next: 17)) == "FORWARD_L2_DSR")
        #expect(setting.v6(ipv6(tcp())) == "FORWARD_L2_DSR")
        #expect(setting.v6(ipv6(udp(), next: 17)) == "FORWARD_L2_DSR")
        #expect(setting.v4(ipv4(tcp(to: 53))) == "PASS_VIP_PORT")
        #expect(setting.v4(ipv4(udp(to: 80), next: 17)) == "PASS_VIP_PORT")
        #expect(setting.v4(ipv4(tcp(), to: Place.stranger)) == "PASS_NO_SERVICE")
        #expect(setting.v6(ipv6(tcp(), to: Place.stranger6)) == "PASS_NO_SERVICE")
    }

    @Test(arguments: [(false, "PASS_VIP_PORT"), (true, "DROP_VIP_PORT")])
    func `a port without service is the kernel's or nobody's, as the VIP has it`(
        drops: Bool, verdict: String
    ) {
        var setting = Setting()
        setting.changeVIPs { $0.dropsOthers = drops }
        #expect(setting.v4(ipv4(tcp(to: 81))) == verdict)
        #expect(setting.v6(ipv6(udp(to: 81), next: 17)) == verdict)
        #expect(setting.v4(ipv4(tcp(to: 80))) == "FORWARD_L2_DSR")
    }

    @Test func `any port answers after the exact one, for its protocol only`() {
        var setting = Setting()
        setting.addService(2, on: Setting.vip, port: 0, transport: 6)
        setting.tables.slots[2] = [0, 0, 0, 0, 0, 0, 0, 0]
        #expect(setting.v4(ipv4(tcp(to: 80))) == "FORWARD_L2_DSR")
        for port in [0, 1, 81, 65535] {
            #expect(setting.v4(ipv4(tcp(to: port))) == "DROP_NO_BACKEND")
            #expect(setting.v4(ipv4(udp(to: port), next: 17)) == "PASS_VIP_PORT")
            #expect(setting.v6(ipv6(tcp(to: port))) == "PASS_VIP_PORT")
        }
    }

    /// 203.0.113.0/28, with its services on its first address.
    @Test func `every address of a VIP has the services of its base`() {
        var setting = Setting()
        let base = IPAddress.v4(IPv4Address(0xcb00_7100))
        setting.addVIP(base, Prefix(bits: 0xffff_cb00_7100, length: 96 + 28))
        setting.addService(on: base, port: 80, transport: 6)
        for last in 0..<16 as Range<UInt8> {
            let outcome = setting.outcome(
                ethernet(0x0800) + ipv4(tcp(), to: [203, 0, 113, last]))
            #expect(outcome.verdictName == "FORWARD_L2_DSR")
            // The flow is to the address that was asked for, so that it spreads over the slots.
            #expect(outcome.flow?.destination.bytes == [203, 0, 113, last])
        }
        #expect(setting.v4(ipv4(tcp(), to: [203, 0, 113, 16])) == "PASS_NO_SERVICE")
        #expect(setting.v4(ipv4(tcp(), to: [203, 0, 112, 255])) == "PASS_NO_SERVICE")
        #expect(setting.v4(ipv4(tcp(to: 81), to: [203, 0, 113, 5])) == "PASS_VIP_PORT")
        setting.addService(on: base, port: 0, transport: 6)
        #expect(setting.v4(ipv4(tcp(to: 81), to: [203, 0, 113, 5])) == "FORWARD_L2_DSR")
    }

    /// 2001:db8:2::/47, with its services on its first address.
    @Test func `a VIP of IPv6 may end within a byte`() {
        var setting = Setting()
        let bits: UInt128 = 0x2001_0db8_0002 << 80
        let base = IPAddress.v6(IPv6Address(bits))
        setting.addVIP(base, Prefix(bits: bits, length: 47))
        setting.addService(on: base, port: 80, transport: 6)
        for (address, verdict) in [
            ("2001 0db8 0002 0000 0000 0000 0000 0000", "FORWARD_L2_DSR"),
            ("2001 0db8 0003 ffff ffff ffff ffff ffff", "FORWARD_L2_DSR"),
            ("2001 0db8 0004 0000 0000 0000 0000 0000", "PASS_NO_SERVICE"),
            ("2001 0db8 0001 ffff ffff ffff ffff ffff", "PASS_NO_SERVICE"),
        ] {
            #expect(setting.v6(ipv6(tcp(), to: bytes(address))) == verdict)
        }
    }

    @Test func `the most specific VIP answers, and a wider one is not asked after it`() {
        var setting = Setting()
        let wide = IPAddress.v4(IPv4Address(0xc000_0200))
        setting.addVIP(wide, Prefix(bits: 0xffff_c000_0200, length: 96 + 24))
        setting.addService(on: wide, port: 0, transport: 6)
        #expect(setting.v4(ipv4(tcp(to: 81), to: Place.stranger)) == "FORWARD_L2_DSR")
        #expect(setting.v4(ipv4(tcp(to: 81))) == "PASS_VIP_PORT")
        // In whatever order they came into the table.
        setting.tables.vips.reverse()
        #expect(setting.v4(ipv4(tcp(to: 81))) == "PASS_VIP_PORT")
    }

    @Test func `an address of IPv6 is none of IPv4, though its last bits are`() {
        let mapped = bytes("0000 0000 0000 0000 0000 0000 c000 0264")
        #expect(Setting().v6(ipv6(tcp(), to: mapped)) == "PASS_NO_SERVICE")
    }

    // MARK: The filter

    /// Four bytes as a little-endian machine loads them, those of IPv6 folded with exclusive or,
    /// times 0x9e3779b1, the upper half: 0x0200000a, 0x640200c0, 0xb80d0120 ^ 0x64000000.
    @Test(
        arguments: [
            (.v4(IPv4Address(0x0a00_0002)), 0x902a), (Setting.vip, 0xc0fd), (Setting.vip6, 0x4865),
        ] as [(IPAddress, Int)])
    func `the filter's bit is the product's upper half`(address: IPAddress, bit: Int) {
        #expect(filterBit(of: address) == bit)
    }

    @Test func `an address whose bit is not set has the services of its own only`() {
        var setting = Setting()
        setting.changeVIPs { $0.answersEcho = true }
        setting.tables.filter.remove(0xc0fd)
        #expect(setting.v4(ipv4(tcp())) == "FORWARD_L2_DSR")
        for packet in [
            ipv4(tcp(to: 81)), ipv4([], next: 6), ipv4(icmp(8), next: 1), ipv4(icmp(0), next: 1),
            ipv4(tcp(), next: 4), ipv4(tcp(), next: 47), ipv4([0], fragment: 3),
        ] {
            #expect(setting.v4(packet) == "PASS_NO_SERVICE")
        }
        setting.tables.filter = [0xc0fd]
        #expect(setting.v4(ipv4(tcp(to: 81))) == "PASS_VIP_PORT")
        #expect(setting.v6(ipv6(tcp(to: 81))) == "PASS_NO_SERVICE")
    }

    @Test func `an address whose bit happens to be set is for no VIP`() {
        var setting = Setting()
        setting.tables.vips = []
        #expect(setting.v4(ipv4(tcp())) == "FORWARD_L2_DSR")
        #expect(setting.v4(ipv4(tcp(to: 81))) == "PASS_NO_SERVICE")
    }

    // MARK: Other protocols

    @Test(
        arguments: [
            (4, "DROP_TUNNEL"), (41, "DROP_TUNNEL"), (47, "PASS_VIP_PROTOCOL"),
            (3, "PASS_VIP_PROTOCOL"), (40, "PASS_VIP_PROTOCOL"), (132, "PASS_VIP_PROTOCOL"),
        ] as [(UInt8, String)])
    func `a tunnel to a VIP is dropped, another protocol is the kernel's`(
        next: UInt8, verdict: String
    ) {
        #expect(Setting().v4(ipv4(tcp(), next: next)) == verdict)
        #expect(Setting().v6(ipv6(tcp(), next: next)) == verdict)
        let stranger = ipv4(tcp(), next: next, to: Place.stranger)
        #expect(Setting().v4(stranger) == "PASS_NO_SERVICE")
        // Nor is it another thing behind an extension header, or as the first of fragments.
        #expect(Setting().v6(ipv6([next, 0] + filler(6), next: 60)) == verdict)
        #expect(Setting().v4(ipv4(tcp(), next: next, fragment: 0x2000)) == verdict)
    }

    // MARK: Counting

    @Test(
        arguments: [
            (0x02, true), (0x12, false), (0x10, false), (0x00, false), (0x03, true), (0xc2, true),
            (0x11, false),
        ] as [(UInt8, Bool)])
    func `a flow is new if its packet has SYN and no ACK`(flags: UInt8, isNew: Bool) {
        let outcome = Setting().outcome(ethernet(0x0800) + ipv4(tcp(flags: flags)))
        #expect(outcome.service == Setting.service)
        #expect(outcome.backend == Setting.backend)
        #expect(outcome.isNewFlow == isNew)
    }

    @Test func `UDP has no new flows`() {
        let outcome = Setting().outcome(ethernet(0x0800) + ipv4(udp(), next: 17))
        #expect(outcome.service == Setting.service)
        #expect(!outcome.isNewFlow)
    }

    @Test func `a packet counts for its service whatever becomes of it, but not without one`() {
        var setting = Setting()
        func service(_ packet: [UInt8]) -> UInt32? {
            setting.outcome(ethernet(0x0800) + packet).service
        }
        #expect(service(ipv4(tcp(), from: [127, 0, 0, 1])) == Setting.service)
        #expect(service(ipv4(tcp(), ttl: 1)) == Setting.service)
        #expect(service(ipv4(tcp(to: 81))) == nil)
        #expect(service(ipv4(tcp(offset: 4))) == nil)
        setting.tables.slots = [:]
        #expect(service(ipv4(tcp())) == Setting.service)
        setting.changeServices { ($0.hasAccessList, $0.deniesOthers) = (true, true) }
        #expect(service(ipv4(tcp())) == Setting.service)
    }
}

/// Who may send to a service, and which backend answers: §2, 2 to 4.
struct AdmissionTests {
    @Test(
        arguments: [
            ([0, 0, 0, 0], true), ([0, 1, 2, 3], true), ([0, 255, 255, 255], true),
            ([1, 0, 0, 0], false), ([126, 255, 255, 255], false), ([127, 0, 0, 0], true),
            ([127, 255, 255, 255], true), ([128, 0, 0, 0], false), ([223, 255, 255, 255], false),
            ([224, 0, 0, 0], true), ([240, 0, 0, 1], true), ([255, 255, 255, 255], true),
            ([192, 0, 2, 100], true), ([192, 0, 2, 101], false),
        ] as [([UInt8], Bool)])
    func `an IPv4 source is one that a client can have`(source: [UInt8], isMartian: Bool) {
        let verdict = Setting().v4(ipv4(tcp(), from: source))
        #expect(verdict == (isMartian ? "DROP_MARTIAN" : "FORWARD_L2_DSR"))
    }

    @Test(arguments: [
        ("0000 0000 0000 0000 0000 0000 0000 0000", true),  // ::
        ("0000 0000 0000 0000 0000 0000 0000 0001", true),  // ::1
        ("0000 0000 0000 0000 0000 0000 0000 0002", false),
        ("0000 0000 0000 0000 0000 ffff c633 6407", true),  // ::ffff:198.51.100.7
        ("0000 0000 0000 0000 0000 fffe c633 6407", false),
        ("0000 0000 0000 0001 0000 ffff c633 6407", false),
        ("ff00 0000 0000 0000 0000 0000 0000 0000", true),
        ("ff02 0000 0000 0000 0000 0000 0000 0001", true),
        ("feff ffff ffff ffff ffff ffff ffff ffff", false),
        ("fe80 0000 0000 0000 0000 0000 0000 0001", false),
        ("2001 0db8 0000 0000 0000 0000 0000 0064", true),  // the VIP itself
        ("2001 0db8 0000 0000 0000 0000 0000 0065", false),
    ])
    func `an IPv6 source is one that a client can have`(source: String, isMartian: Bool) {
        let verdict = Setting().v6(ipv6(tcp(), from: bytes(source)))
        #expect(verdict == (isMartian ? "DROP_MARTIAN" : "FORWARD_L2_DSR"))
    }

    @Test(arguments: [
        ("0200 0000 0001", "FORWARD_L2_DSR"), ("0100 5e00 0001", "DROP_MARTIAN"),
        ("ffff ffff ffff", "DROP_MARTIAN"), ("3333 0000 0001", "DROP_MARTIAN"),
        ("fe00 0000 0001", "FORWARD_L2_DSR"),
    ])
    func `a frame for a group of hosts is dropped`(destination: String, verdict: String) {
        #expect(Setting().frame(ethernet(0x0800, to: destination) + ipv4(tcp())) == verdict)
        #expect(Setting().frame(ethernet(0x86dd, to: destination) + ipv6(tcp())) == verdict)
    }

    @Test func `a martian for no service is judged as everybody's packet`() {
        let source: [UInt8] = [127, 0, 0, 1]
        #expect(Setting().v4(ipv4(tcp(to: 81), from: source)) == "PASS_VIP_PORT")
        let stranger = ipv4(tcp(), from: source, to: Place.stranger)
        #expect(Setting().v4(stranger) == "PASS_NO_SERVICE")
        #expect(Setting().v4(ipv4(tcp(), next: 4, from: source)) == "DROP_TUNNEL")
    }

    // MARK: Access lists

    private func rule(
        _ bits: UInt128, _ length: Int, allows: Bool, service: UInt32 = Setting.service
    ) -> Tables.AccessRule {
        Tables.AccessRule(
            service: service, prefix: Prefix(bits: bits, length: length), isAllowed: allows)
    }

    @Test(arguments: [(false, "FORWARD_L2_DSR"), (true, "DROP_SOURCE_DENIED")])
    func `without a rule that covers the source the service's flag decides`(
        deniesOthers: Bool, verdict: String
    ) {
        var setting = Setting()
        setting.changeServices { ($0.hasAccessList, $0.deniesOthers) = (true, deniesOthers) }
        #expect(setting.v4(ipv4(tcp())) == verdict)
        #expect(setting.v6(ipv6(tcp())) == verdict)
        // Neither a rule for others nor one of another service changes that.
        setting.tables.access = [
            rule(0xffff_c633_6500, 96 + 24, allows: deniesOthers),
            rule(0xffff_c633_6400, 96 + 24, allows: deniesOthers, service: 2),
        ]
        #expect(setting.v4(ipv4(tcp())) == verdict)
    }

    @Test func `the longest prefix that covers the source decides`() {
        var setting = Setting()
        setting.changeServices { ($0.hasAccessList, $0.deniesOthers) = (true, true) }
        setting.tables.access = [rule(0xffff_c633_6400, 96 + 24, allows: true)]
        #expect(setting.v4(ipv4(tcp())) == "FORWARD_L2_DSR")
        #expect(setting.v4(ipv4(tcp(), from: [198, 51, 101, 7])) == "DROP_SOURCE_DENIED")
        setting.tables.access.append(rule(0xffff_c633_6407, 128, allows: false))
        #expect(setting.v4(ipv4(tcp())) == "DROP_SOURCE_DENIED")
        #expect(setting.v4(ipv4(tcp(), from: [198, 51, 100, 8])) == "FORWARD_L2_DSR")
        setting.tables.access.reverse()
        #expect(setting.v4(ipv4(tcp())) == "DROP_SOURCE_DENIED")
    }

    @Test func `a rule of no length covers everybody, one of 96 bits all of IPv4`() {
        var setting = Setting()
        setting.changeServices { ($0.hasAccessList, $0.deniesOthers) = (true, true) }
        setting.tables.access = [rule(0, 0, allows: true)]
        #expect(setting.v4(ipv4(tcp())) == "FORWARD_L2_DSR")
        #expect(setting.v6(ipv6(tcp())) == "FORWARD_L2_DSR")
        setting.tables.access = [rule(0xffff_0000_0000, 96, allows: true)]
        #expect(setting.v4(ipv4(tcp())) == "FORWARD_L2_DSR")
        #expect(setting.v6(ipv6(tcp())) == "DROP_SOURCE_DENIED")
        // 2001:db8:1::/48.
        setting.tables.access = [rule(0x2001_0db8_0001 << 80, 48, allows: true)]
        #expect(setting.v6(ipv6(tcp())) == "FORWARD_L2_DSR")
        #expect(setting.v6(ipv6(tcp(), from: Place.stranger6)) == "DROP_SOURCE_DENIED")
    }

    @Test func `a service without a list is open, whatever the table has`() {
        var setting = Setting()
        setting.tables.access = [rule(0xffff_c633_6400, 96 + 24, allows: false)]
        setting.changeServices { $0.deniesOthers = true }
        #expect(setting.v4(ipv4(tcp())) == "FORWARD_L2_DSR")
    }

    @Test func `martians come before the list, the list before the slot`() {
        var setting = Setting()
        setting.tables.slots[Setting.service] = [0, 0, 0, 0, 0, 0, 0, 0]
        #expect(setting.v4(ipv4(tcp())) == "DROP_NO_BACKEND")
        setting.changeServices { ($0.hasAccessList, $0.deniesOthers) = (true, true) }
        #expect(setting.v4(ipv4(tcp())) == "DROP_SOURCE_DENIED")
        #expect(setting.v4(ipv4(tcp(), from: [127, 0, 0, 1])) == "DROP_MARTIAN")
    }

    // MARK: Slots

    /// The hashes end in …1c0, …0d9, …2, …3; those of SipHashTests are among them.
    @Test func `the low bits of the hash name the slot`() {
        var setting = Setting()
        func owners(of packets: [(String, [UInt8])]) -> [String] {
            packets.map { $0.0 == "v4" ? setting.v4($0.1) : setting.v6($0.1) }
        }
        let packets = [
            ("v4", ipv4(tcp(from: 41001))), ("v4", ipv4(udp(), next: 17)),
            ("v4", ipv4(tcp(from: 41005))), ("v6", ipv6(tcp(from: 41006))),
        ]
        for slot in 0..<4 {  // slot 0 is that of the first packet, and so on
            setting.tables.slots[Setting.service] = (0..<8).map { $0 == slot ? 9 : 0 }
            let expected = (0..<4).map { $0 == slot ? "FORWARD_L2_DSR" : "DROP_NO_BACKEND" }
            #expect(owners(of: packets) == expected)
        }
        setting.tables.slots[Setting.service] = (0..<64).map { $0 == 0x19 ? 9 : 0 }
        setting.changeServices { $0.slotMask = 63 }
        let expected = ["DROP_NO_BACKEND", "FORWARD_L2_DSR", "DROP_NO_BACKEND", "DROP_NO_BACKEND"]
        #expect(owners(of: packets) == expected)
    }

    @Test func `of a slot that does not look only the owner counts, 15 bits`() {
        var setting = Setting()
        setting.tables.slots[Setting.service] = [UInt32](repeating: 0xffff_0000, count: 8)
        #expect(setting.v4(ipv4(tcp())) == "DROP_NO_BACKEND")
        setting.tables.slots[Setting.service] = [UInt32](repeating: 0xffff_0009, count: 8)
        #expect(setting.v4(ipv4(tcp())) == "FORWARD_L2_DSR")
        setting.tables.backends = [0x7fff: setting.tables.backends[9]].compactMapValues { $0 }
        setting.tables.slots[Setting.service] = [UInt32](repeating: 0xffff_7fff, count: 8)
        #expect(setting.outcome(ethernet(0x0800) + ipv4(tcp())).backend == 0x7fff)
    }

    @Test func `tables that contradict each other drop the packet`() {
        let good = Setting()
        #expect(good.v4(ipv4(tcp())) == "FORWARD_L2_DSR")
        var setting = good
        setting.changeBackend { $0.service = 2 }
        #expect(setting.v4(ipv4(tcp())) == "DROP_BROKEN_TABLE")
        setting = good
        setting.tables.backends = [:]
        #expect(setting.v4(ipv4(tcp())) == "DROP_BROKEN_TABLE")
        setting = good
        setting.tables.slots = [:]
        #expect(setting.v4(ipv4(tcp())) == "DROP_BROKEN_TABLE")
        // The hash names slot 6 of eight.
        setting.tables.slots[Setting.service] = [9]
        #expect(setting.v4(ipv4(tcp())) == "DROP_BROKEN_TABLE")
        setting = good
        setting.tables.egresses = [:]
        #expect(setting.v4(ipv4(tcp())) == "DROP_BROKEN_TABLE")
    }
}
