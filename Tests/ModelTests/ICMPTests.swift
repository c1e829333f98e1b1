import Model
import Testing

/// ICMP and ICMPv6 for a VIP: docs/life-of-a-packet.md §2.
struct EchoTests {
    private func answering() -> Setting {
        var setting = Setting()
        setting.changeVIPs { $0.answersEcho = true }
        return setting
    }

    @Test func `a ping is answered with addresses turned round and every checksum right`() {
        let request = bytes(
            """
            0200 0000 0001 0200 0000 0002 8100 0005 0800  # in VLAN 5
            4500 001e 1234 4000 0901 730c  # TTL 9
            c633 6407 c000 0264  # 198.51.100.7 to 192.0.2.100
            0800 8f8e 0007 0001 6869  # echo request
            ffff ff  # padding
            """)
        let outcome = answering().outcome(request)
        #expect(outcome.verdictName == "REPLY_ECHO")
        #expect(outcome.action == .transmit)
        #expect(outcome.service == nil)
        let reply = bytes(
            """
            0200 0000 0002 0200 0000 0001 8100 0005 0800
            4500 001e 1234 4000 4001 3c0c  # TTL 64
            c000 0264 c633 6407
            0000 978e 0007 0001 6869  # echo reply
            ffff ff
            """)
        #expect(outcome.frame == reply)
    }

    @Test func `a ping over IPv6 is answered in the same way`() {
        let request = bytes(
            """
            0200 0000 0001 0200 0000 0002 86dd
            6001 2345 000a 3a09  # a flow label, hop limit 9
            2001 0db8 0001 0000 0000 0000 0000 0007
            2001 0db8 0000 0000 0000 0000 0000 0064
            8000 bb6b 0007 0001 6869  # echo request
            """)
        let outcome = answering().outcome(request)
        #expect(outcome.verdictName == "REPLY_ECHO")
        let reply = bytes(
            """
            0200 0000 0002 0200 0000 0001 86dd
            6001 2345 000a 3a40  # hop limit 64
            2001 0db8 0000 0000 0000 0000 0000 0064
            2001 0db8 0001 0000 0000 0000 0000 0007
            8100 ba6b 0007 0001 6869  # echo reply
            """)
        #expect(outcome.frame == reply)
    }

    @Test func `the message is found behind IPv4 options and IPv6 extensions`() {
        let v4 = ipv4(icmp(8), next: 1, options: bytes("0101 0100"))
        let reply4 = answering().outcome(ethernet(0x0800) + v4)
        #expect(reply4.verdictName == "REPLY_ECHO")
        #expect(reply4.frame[34...] == bytes("0101 0100 0000 0800 0000 0000")[...])
        let v6 = ipv6(bytes("3a00 0000 0000 0000") + icmp(128), next: 60)
        let reply6 = answering().outcome(ethernet(0x86dd) + v6)
        #expect(reply6.verdictName == "REPLY_ECHO")
        #expect(reply6.frame[54...] == bytes("3a00 0000 0000 0000 8100 feff 0000 0000")[...])
    }

    @Test func `a ping is answered only if the VIP does so`() {
        #expect(Setting().v4(ipv4(icmp(8), next: 1)) == "PASS_ICMP")
        #expect(Setting().v6(ipv6(icmp(128), next: 58)) == "PASS_ICMP")
        let stranger = ipv4(icmp(8), next: 1, to: Place.stranger)
        #expect(answering().v4(stranger) == "PASS_NO_SERVICE")
        let stranger6 = ipv6(icmp(128), next: 58, to: Place.stranger6)
        #expect(answering().v6(stranger6) == "PASS_NO_SERVICE")
    }

    @Test func `a martian's ping is dropped, whether the VIP answers or not`() {
        let packet = ipv4(icmp(8), next: 1, from: [127, 0, 0, 1])
        #expect(answering().v4(packet) == "DROP_MARTIAN")
        #expect(Setting().v4(packet) == "DROP_MARTIAN")
        let group = ethernet(0x86dd, to: "3333 0000 0001") + ipv6(icmp(128), next: 58)
        #expect(answering().frame(group) == "DROP_MARTIAN")
    }

    @Test func `answers are redirected where the settings say so`() {
        var setting = answering()
        let ping = ethernet(0x0800) + ipv4(icmp(8), next: 1)
        #expect(setting.outcome(ping).action == .transmit)
        setting.tables.repliesAreRedirected = true
        #expect(setting.outcome(ping).action == .redirect(interface: Setting.interface))
    }

    @Test(arguments: [0, 4, 5, 13, 14, 255] as [UInt8])
    func `other messages are the kernel's`(type: UInt8) {
        #expect(answering().v4(ipv4(icmp(type), next: 1)) == "PASS_ICMP")
        let stranger = ipv4(icmp(type), next: 1, to: Place.stranger)
        #expect(answering().v4(stranger) == "PASS_NO_SERVICE")
    }

    /// 8 is IPv4's request, 133 to 136 are neighbour discovery.
    @Test(arguments: [0, 5, 8, 127, 129, 133, 134, 135, 136] as [UInt8])
    func `other messages of ICMPv6 are the kernel's`(type: UInt8) {
        #expect(answering().v6(ipv6(icmp(type), next: 58)) == "PASS_ICMP")
    }
}

/// Errors about packets that backends have sent: §2.
struct ErrorTests {
    private let router: [UInt8] = [203, 0, 113, 1]

    /// What a backend has sent to the client: the VIP's port 80 to 41000, and 8 bytes of it all.
    private func quoted4(
        next: UInt8 = 6, from source: [UInt8] = Place.vip, port: Int = 80, fragment: Int = 0,
        options: [UInt8] = [], count: Int = 8
    ) -> [UInt8] {
        let header = word(port) + word(41000) + bytes("0000 0001")
        return ipv4(
            Array(header[..<count]), next: next, from: source, to: Place.client, fragment: fragment,
            options: options)
    }

    private func quoted6(
        next: UInt8 = 6, from source: [UInt8] = Place.vip6, _ header: String = ""
    ) -> [UInt8] {
        ipv6(
            bytes(header) + bytes("0050 a028 0000 0001"), next: next, from: source,
            to: Place.client6)
    }

    @Test func `an error goes to the backend that has the flow it quotes`() {
        let error = bytes(
            """
            0200 0000 0001 0200 0000 0002 0800
            4500 0038 0001 0000 3f01 7d5e  # 56 bytes, TTL 63, ICMP
            cb00 7101 c000 0264  # 203.0.113.1 to 192.0.2.100
            0304 0000 0000 0578  # fragmentation needed, MTU 1400
            4500 05dc 1234 4000 3e06 3849  # of 1500 bytes
            c000 0264 c633 6407  # 192.0.2.100 to 198.51.100.7
            0050 a028 0000 0001  # port 80 to 41000
            """)
        let outcome = Setting().outcome(error)
        #expect(outcome.verdictName == "FORWARD_L2_DSR")
        #expect(outcome.service == Setting.service)
        #expect(outcome.backend == Setting.backend)
        #expect(!outcome.isNewFlow)
        // That of the client's packets, see SipHashTests.
        #expect(outcome.hash == 0xcc1c_e972_95cd_13b6)
        let link = bytes("0200 0000 00bb 0200 0000 00aa 0800")
        let older = bytes("4500 0038 0001 0000 3e01 7e5e")
        #expect(outcome.frame == link + older + error[26...])
    }

    @Test func `an error over IPv6 goes there as well, and UDP's`() {
        let error = ipv6(icmp(2, 0, quoted6()), next: 58, from: Place.stranger6)
        let outcome = Setting().outcome(ethernet(0x86dd) + error)
        #expect(outcome.verdictName == "FORWARD_L2_DSR")
        #expect(outcome.hash == 0x42b8_64c6_95e9_8b6e)
        let udp = ipv4(icmp(3, 3, quoted4(next: 17, port: 53)), next: 1, from: router)
        #expect(Setting().outcome(ethernet(0x0800) + udp).hash == 0xdac5_0cbb_eadb_20d9)
    }

    @Test(
        arguments: [
            (3, "FORWARD_L2_DSR"), (11, "FORWARD_L2_DSR"), (12, "FORWARD_L2_DSR"), (4, "PASS_ICMP"),
            (5, "PASS_ICMP"), (10, "PASS_ICMP"), (13, "PASS_ICMP"), (1, "PASS_ICMP"),
        ] as [(UInt8, String)])
    func `errors are unreachable, time exceeded and parameter problem`(
        type: UInt8, verdict: String
    ) {
        #expect(Setting().v4(ipv4(icmp(type, 0, quoted4()), next: 1)) == verdict)
    }

    @Test(
        arguments: [
            (0, "PASS_ICMP"), (1, "FORWARD_L2_DSR"), (2, "FORWARD_L2_DSR"), (3, "FORWARD_L2_DSR"),
            (4, "FORWARD_L2_DSR"), (5, "PASS_ICMP"), (129, "PASS_ICMP"),
        ] as [(UInt8, String)])
    func `errors of ICMPv6 are 1 to 4`(type: UInt8, verdict: String) {
        #expect(Setting().v6(ipv6(icmp(type, 0, quoted6()), next: 58)) == verdict)
    }

    @Test func `an error that quotes no flow of a service is the kernel's`() {
        var setting = Setting()
        // Whatever may be taken for ports has a service.
        for vip in [Setting.vip, Setting.vip6] {
            setting.addService(on: vip, port: 0, transport: 6)
            setting.addService(on: vip, port: 0, transport: 17)
        }
        for quoted in [
            quoted4(from: Place.stranger), quoted4(next: 1), quoted4(next: 47),
            quoted4(fragment: 1), quoted4(count: 7), Array(quoted4()[..<19]), [],
            quoted4().replacing([0: 0x55]), quoted4().replacing([0: 0x44]),
            quoted4().replacing([0: 0x46]),
        ] {
            #expect(setting.v4(ipv4(icmp(3, 4, quoted), next: 1)) == "PASS_ICMP")
        }
        for quoted in [
            quoted6(from: Place.stranger6), quoted6(next: 58), Array(quoted6()[..<47]), [],
            quoted6().replacing([0: 0x50]),
        ] {
            #expect(setting.v6(ipv6(icmp(2, 0, quoted), next: 58)) == "PASS_ICMP")
        }
    }

    @Test func `what is quoted must lie within the packet, not only within the frame`() {
        let error = ipv4(icmp(3, 4, quoted4()), next: 1)
        #expect(error.count == 56)
        #expect(Setting().v4(error) == "FORWARD_L2_DSR")
        for length in 28..<56 {
            let short = error.replacing([3: UInt8(length)])
            #expect(Setting().v4(short) == "PASS_ICMP", "\(length)")
        }
        let error6 = ipv6(icmp(2, 0, quoted6()), next: 58)
        for length in 8..<56 {
            let short = error6.replacing([5: UInt8(length)])
            #expect(Setting().v6(short) == "PASS_ICMP", "\(length)")
        }
    }

    @Test func `quoted options are stepped over, quoted extension headers are not`() {
        let options = ipv4(icmp(3, 4, quoted4(options: bytes("0101 0100"))), next: 1)
        #expect(Setting().v4(options) == "FORWARD_L2_DSR")
        let first = ipv4(icmp(3, 4, quoted4(fragment: 0x2000)), next: 1)
        #expect(Setting().v4(first) == "FORWARD_L2_DSR")
        let extended = quoted6(next: 60, "0600 0000 0000 0000")
        #expect(Setting().v6(ipv6(icmp(2, 0, extended), next: 58)) == "PASS_ICMP")
    }

    @Test func `a quoted port without service is the kernel's, even where the VIP drops others`() {
        var setting = Setting()
        setting.changeVIPs { $0.dropsOthers = true }
        let packet = ipv4(icmp(3, 4, quoted4(port: 81)), next: 1)
        #expect(setting.v4(packet) == "PASS_ICMP")
        setting.addService(on: Setting.vip, port: 0, transport: 6)
        #expect(setting.v4(packet) == "FORWARD_L2_DSR")
    }

    @Test func `an error for somebody else is the kernel's`() {
        let quoted = quoted4(from: Place.stranger)
        let packet = ipv4(icmp(3, 4, quoted), next: 1, to: Place.stranger)
        #expect(Setting().v4(packet) == "PASS_NO_SERVICE")
    }

    @Test func `the access list is asked about the client, not about the router`() {
        var setting = Setting()
        setting.changeServices { ($0.hasAccessList, $0.deniesOthers) = (true, true) }
        let packet = ipv4(icmp(3, 4, quoted4()), next: 1, from: router)
        #expect(setting.v4(packet) == "DROP_SOURCE_DENIED")
        func allow(_ bits: UInt128) {
            let prefix = Prefix(bits: bits, length: 128)
            setting.tables.access = [
                Tables.AccessRule(service: 1, prefix: prefix, isAllowed: true)
            ]
        }
        allow(0xffff_cb00_7101)
        #expect(setting.v4(packet) == "DROP_SOURCE_DENIED")
        allow(0xffff_c633_6407)
        #expect(setting.v4(packet) == "FORWARD_L2_DSR")
    }

    @Test func `a martian is who sends the error, not whom it quotes`() {
        let packet = ipv4(icmp(3, 4, quoted4()), next: 1, from: [127, 0, 0, 1])
        let outcome = Setting().outcome(ethernet(0x0800) + packet)
        #expect(outcome.verdictName == "DROP_MARTIAN")
        #expect(outcome.service == Setting.service)
        let toLoopback = quoted4().replacing([16: 127])
        #expect(Setting().v4(ipv4(icmp(3, 4, toLoopback), next: 1)) == "FORWARD_L2_DSR")
    }
}
