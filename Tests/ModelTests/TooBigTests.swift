import CDatapath
import Model
import Packets
import Testing

/// Packets that don't fit: docs/life-of-a-packet.md §3, 3.
struct TooBigTests {
    /// An IPv4 packet of so many bytes.
    private func packet4(_ count: Int) -> [UInt8] { ipv4(tcp(filler(count - 40))) }
    private func packet6(_ count: Int) -> [UInt8] { ipv6(tcp(filler(count - 60))) }

    @Test(
        arguments: [
            (MARTLET_L2_DSR, .v4, 0), (MARTLET_L2_DSR, .v6, 0), (MARTLET_IPIP, .v4, 20),
            (MARTLET_IPIP, .v6, 40), (MARTLET_GUE, .v4, 28), (MARTLET_GUE, .v6, 48),
        ] as [(martlet_forwarding, IPFamily, Int)])
    func `a packet fits with its outer headers, or its sender hears how large it may be`(
        mode: martlet_forwarding, family: IPFamily, outer: Int
    ) {
        let setting = Setting(mode, over: family, mtu: 200)
        let largest = 200 - outer
        #expect(setting.v4(packet4(largest)).hasPrefix("FORWARD"))
        #expect(setting.v6(packet6(largest)).hasPrefix("FORWARD"))
        let v4 = setting.outcome(ethernet(0x0800) + packet4(largest + 1))
        #expect(v4.verdictName == "REPLY_TOO_BIG")
        #expect(v4.frame[38..<42] == [0, 0, 0, UInt8(largest)])
        let v6 = setting.outcome(ethernet(0x86dd) + packet6(largest + 1))
        #expect(v6.verdictName == "REPLY_TOO_BIG")
        #expect(v6.frame[58..<62] == [0, 0, 0, UInt8(largest)])
    }

    @Test(arguments: [(0, 200), (150, 150), (200, 200), (201, 200)])
    func `a narrower route counts, and a wider one does not`(route: Int, mtu: Int) {
        var setting = Setting(MARTLET_IPIP, mtu: 200)
        setting.changeBackend { $0.mtu = route }
        #expect(setting.v4(packet4(mtu - 20)) == "FORWARD_IPIP")
        let told = setting.outcome(ethernet(0x0800) + packet4(mtu - 19))
        #expect(told.verdictName == "REPLY_TOO_BIG")
        #expect(told.frame[38..<42] == [0, 0, 0, UInt8(mtu - 20)])
    }

    @Test func `the sender is told in ICMP, with a quotation and the tags that it used`() {
        let head = bytes(
            """
            4500 00b5 1234 4000 3f06 3c70  # 181 bytes
            c633 6407 c000 0264  # 198.51.100.7 to 192.0.2.100
            a028 0050 0000 0001 0000 0000 5010 ffff 0000 0000
            """)
        let frame = ethernet(0x0800, tags: ["8100 0005"]) + head + filler(141) + bytes("ffff")
        let outcome = Setting(MARTLET_IPIP, mtu: 200).outcome(frame)
        #expect(outcome.verdictName == "REPLY_TOO_BIG")
        #expect(outcome.action == .transmit)
        #expect(outcome.service == Setting.service)
        let reply = bytes(
            """
            0200 0000 0002 0200 0000 0001 8100 0005 0800
            4500 009c 0000 4000 4001 4dc2  # 156 bytes, DF, TTL 64, ICMP
            c000 0264 c633 6407
            0304 d688 0000 00b4  # fragmentation needed, MTU 180
            """)
        #expect(outcome.frame == reply + head + filler(128 - 40))
    }

    @Test func `the sender of IPv6 is told in ICMPv6`() {
        let head = bytes(
            """
            6000 0000 008d 063f  # 141 bytes of TCP
            2001 0db8 0001 0000 0000 0000 0000 0007
            2001 0db8 0000 0000 0000 0000 0000 0064
            a028 0050 0000 0001 0000 0000 5010 ffff 0000 0000
            """)
        let outcome = Setting(MARTLET_IPIP, mtu: 200).outcome(
            ethernet(0x86dd) + head + filler(121))
        #expect(outcome.verdictName == "REPLY_TOO_BIG")
        let reply = bytes(
            """
            0200 0000 0002 0200 0000 0001 86dd
            6000 0000 0088 3a40  # 136 bytes of ICMPv6, hop limit 64
            2001 0db8 0000 0000 0000 0000 0000 0064
            2001 0db8 0001 0000 0000 0000 0000 0007
            0200 fe87 0000 00b4  # packet too big, MTU 180
            """)
        #expect(outcome.frame == reply + head + filler(128 - 60))
    }

    @Test func `only the packet counts, not its padding`() {
        let setting = Setting(mtu: 200)
        #expect(setting.v4(packet4(200) + filler(50)) == "FORWARD_L2_DSR")
        #expect(setting.v4(packet4(201) + filler(50)) == "REPLY_TOO_BIG")
    }

    /// The balancer does not fragment, whether it may or not (RFC 791 §2.3).
    @Test(arguments: [0x4000, 0x0000, 0x2000])
    func `the sender is told whatever the flags are`(fragment: Int) {
        let packet = ipv4(tcp(filler(161)), fragment: fragment)
        #expect(Setting(mtu: 200).v4(packet) == "REPLY_TOO_BIG")
    }

    @Test func `answers are redirected where the settings say so`() {
        var setting = Setting(mtu: 200)
        setting.tables.repliesAreRedirected = true
        let outcome = setting.outcome(ethernet(0x0800) + packet4(201))
        #expect(outcome.action == .redirect(interface: Setting.interface))
    }

    @Test func `no error about what is too short to be quoted`() {
        let setting = Setting(mtu: 100)
        #expect(setting.v4(packet4(128)) == "REPLY_TOO_BIG")
        #expect(setting.v4(packet4(127)) == "DROP_TOO_BIG")
        #expect(setting.v4(packet4(127) + filler(50)) == "DROP_TOO_BIG")
        #expect(setting.v6(packet6(128)) == "REPLY_TOO_BIG")
        #expect(setting.v6(packet6(127)) == "DROP_TOO_BIG")
    }

    /// RFC 1122 §3.2.2.
    @Test func `no error about an error, nor about a later fragment`() {
        var setting = Setting(mtu: 100)
        let quoted = ipv4(
            bytes("0050 a028 0000 0001"), from: Place.vip, to: Place.client, fragment: 0)
        let error = ipv4(icmp(3, 4, quoted + filler(100)), next: 1)
        #expect(setting.v4(error) == "DROP_TOO_BIG")
        let first = setting.outcome(ethernet(0x0800) + ipv4(tcp(filler(100)), fragment: 0x2000))
        #expect(first.verdictName == "REPLY_TOO_BIG")
        if let note = first.note { setting.tables.fragments[note.key] = note.value }
        #expect(setting.v4(ipv4(filler(120), fragment: 3)) == "DROP_TOO_BIG")
    }

    @Test func `no error after too many of them in a tick`() {
        var setting = Setting(mtu: 200)
        setting.mayTellSender = false
        #expect(setting.v4(packet4(201)) == "DROP_TOO_BIG")
        #expect(setting.v6(packet6(201)) == "DROP_TOO_BIG")
        #expect(setting.v4(packet4(200)) == "FORWARD_L2_DSR")
        // A ping is no error.
        setting.changeVIPs { $0.answersEcho = true }
        #expect(setting.v4(ipv4(icmp(8), next: 1)) == "REPLY_ECHO")
    }

    @Test func `limits are those of the document`() {
        #expect(MARTLET_QUOTE_BYTES.rawValue == 128)
        #expect(MARTLET_ERRORS_PER_TICK.rawValue == 16)
    }
}
