import CDatapath
import Model
import Packets
import Testing

/// The packets that the tests of this file send, byte by byte, with DSCP EF and ECN CE.
private enum Sent {
    static let v4 = bytes(
        """
        45b9 0028 1234 4000 3f06 3c44  # 40 bytes, DF, TTL 63, TCP
        c633 6407 c000 0264  # 198.51.100.7 to 192.0.2.100
        a028 0050 0000 0001 0000 0000 5010 ffff 0000 0000
        """)
    static let v6 = bytes(
        """
        6b90 0000 0014 063f  # 20 bytes of TCP, hop limit 63
        2001 0db8 0001 0000 0000 0000 0000 0007
        2001 0db8 0000 0000 0000 0000 0000 0064
        a028 0050 0000 0001 0000 0000 5010 ffff 0000 0000
        """)
    /// To the backend's next hop, from the output interface.
    static let link = bytes("0200 0000 00bb 0200 0000 00aa")
    /// What comes in is padded, and what leaves has the padding.
    static let padding = bytes("ffff ff")

    static func frame(_ family: IPFamily) -> [UInt8] {
        (family == .v4 ? ethernet(0x0800) + v4 : ethernet(0x86dd) + v6) + padding
    }
}

/// `l2-dsr`, and what all modes have in common: docs/life-of-a-packet.md §3.
struct ForwardTests {
    @Test func `l2-dsr changes the MAC addresses, the TTL and its checksum`() {
        let outcome = Setting().outcome(Sent.frame(.v4))
        #expect(outcome.verdictName == "FORWARD_L2_DSR")
        #expect(outcome.action == .transmit)
        #expect(outcome.backend == Setting.backend)
        let older = bytes(
            """
            0800 45b9 0028 1234 4000 3e06 3d44
            c633 6407 c000 0264
            a028 0050 0000 0001 0000 0000 5010 ffff 0000 0000
            """)
        #expect(outcome.frame == Sent.link + older + Sent.padding)
    }

    @Test func `l2-dsr changes the MAC addresses and the hop limit`() {
        let outcome = Setting().outcome(Sent.frame(.v6))
        #expect(outcome.verdictName == "FORWARD_L2_DSR")
        let older = bytes(
            """
            86dd 6b90 0000 0014 063e
            2001 0db8 0001 0000 0000 0000 0000 0007
            2001 0db8 0000 0000 0000 0000 0000 0064
            a028 0050 0000 0001 0000 0000 5010 ffff 0000 0000
            """)
        #expect(outcome.frame == Sent.link + older + Sent.padding)
    }

    @Test(
        arguments: [
            (0, "DROP_EXPIRED"), (1, "DROP_EXPIRED"), (2, "FORWARD_L2_DSR"),
            (255, "FORWARD_L2_DSR"),
        ] as [(UInt8, String)])
    func `l2-dsr drops what is at the end of its time, a tunnel does not`(
        ttl: UInt8, verdict: String
    ) {
        #expect(Setting().v4(ipv4(tcp(), ttl: ttl)) == verdict)
        #expect(Setting().v6(ipv6(tcp(), hops: ttl)) == verdict)
        #expect(Setting(MARTLET_IPIP).v4(ipv4(tcp(), ttl: ttl)) == "FORWARD_IPIP")
        #expect(Setting(MARTLET_GUE).v6(ipv6(tcp(), hops: ttl)) == "FORWARD_GUE")
    }

    /// As Linux does it (`ip_decrease_ttl`), even from a checksum that is wrong.
    @Test(arguments: [
        ("0000", "0100"), ("12ff", "13ff"), ("feff", "0000"), ("ff00", "0001"), ("ff12", "0013"),
        ("fefe", "fffe"), ("ffff", "0100"),
    ])
    func `the carry of the checksum goes round`(before: String, after: String) {
        let sum = bytes(before)
        let packet = ipv4(tcp()).replacing([10: sum[0], 11: sum[1]])
        let frame = Setting().outcome(ethernet(0x0800) + packet).frame
        #expect(frame[24..<26] == bytes(after)[...])
    }

    @Test(arguments: [[], ["8100 0007"], ["88a8 0007", "8100 0008"]])
    func `a frame leaves with the tags of its output interface, whatever it came with`(
        tags: [String]
    ) {
        var setting = Setting()
        let frame = ethernet(0x0800, tags: tags) + Sent.v4
        #expect(setting.outcome(frame).frame.prefix(16) == (Sent.link + bytes("0800 45b9"))[...])
        setting.changeEgress { $0.tags = [Tag(type: 0x8100, control: 0x6005)] }
        let one = setting.outcome(frame).frame
        #expect(one.prefix(20) == (Sent.link + bytes("8100 6005 0800 45b9"))[...])
        setting.changeEgress { $0.tags.insert(Tag(type: 0x88a8, control: 9), at: 0) }
        let two = setting.outcome(frame).frame
        #expect(two.prefix(24) == (Sent.link + bytes("88a8 0009 8100 6005 0800 45b9"))[...])
        #expect(two.count == 22 + 40)
        setting.changeBackend { $0.forwarding = MARTLET_IPIP.rawValue }
        let tunnelled = setting.outcome(frame).frame
        #expect(tunnelled.prefix(24) == two.prefix(24))
        #expect(tunnelled.count == 22 + 20 + 40)
    }

    @Test func `what leaves by the interface it came in by is transmitted, else redirected`() {
        var setting = Setting()
        #expect(setting.outcome(Sent.frame(.v4)).action == .transmit)
        setting.changeEgress { $0.isRedirectedBack = true }
        #expect(setting.outcome(Sent.frame(.v4)).action == .redirect(interface: 4))
        setting.changeEgress { ($0.isRedirectedBack, $0.interface) = (false, 5) }
        #expect(setting.outcome(Sent.frame(.v4)).action == .redirect(interface: 5))
        // What answers do is another setting.
        setting = Setting()
        setting.tables.repliesAreRedirected = true
        #expect(setting.outcome(Sent.frame(.v4)).action == .transmit)
    }

    @Test func `no next hop comes before the end of time, and that before the size`() {
        var setting = Setting(mtu: 39)
        #expect(setting.v4(ipv4(tcp(), ttl: 2)) == "DROP_TOO_BIG")
        #expect(setting.v4(ipv4(tcp(), ttl: 1)) == "DROP_EXPIRED")
        setting.changeBackend { $0.egress = 0 }
        #expect(setting.v4(ipv4(tcp(), ttl: 1)) == "DROP_NO_NEXT_HOP")
        #expect(setting.v6(ipv6(tcp())) == "DROP_NO_NEXT_HOP")
    }
}

/// `ipip` and `gue`: §3.
///
/// In the headers are bits of the hashes, cc1ce97295cd13b6 of the IPv4 packet, 42b864c695e98b6e of
/// the IPv6 packet.
struct TunnelTests {
    @Test(
        arguments: [
            (.v4, .v4, "0800 45b9 003c 0000 4000 4004 c0fc cb00 71fe cb00 7109"),
            (.v6, .v4, "0800 45b9 0050 0000 4000 4029 c0c3 cb00 71fe cb00 7109"),
            (
                .v4, .v6,
                """
                86dd 6b9c 1ce9 0028 0440
                2001 0db8 0009 0000 0000 0000 0000 00fe 2001 0db8 0009 0000 0000 0000 0000 0009
                """
            ),
            (
                .v6, .v6,
                """
                86dd 6b92 b864 003c 2940
                2001 0db8 0009 0000 0000 0000 0000 00fe 2001 0db8 0009 0000 0000 0000 0000 0009
                """
            ),
        ] as [(IPFamily, IPFamily, String)])
    func `ipip puts the packet unchanged behind an outer header, in all combinations`(
        inner: IPFamily, outer: IPFamily, header: String
    ) {
        let outcome = Setting(MARTLET_IPIP, over: outer).outcome(Sent.frame(inner))
        #expect(outcome.verdictName == "FORWARD_IPIP")
        #expect(outcome.action == .transmit)
        let packet = inner == .v4 ? Sent.v4 : Sent.v6
        #expect(outcome.frame == Sent.link + bytes(header) + packet + Sent.padding)
    }

    @Test(
        arguments: [
            (
                .v4, .v4,
                """
                0800 45b9 0044 0000 4000 4011 c0e7 cb00 71fe cb00 7109
                d5cd 17c0 0030 0000  # to port 6080, 48 bytes, no checksum
                """
            ),
            (
                .v6, .v4,
                """
                0800 45b9 0058 0000 4000 4011 c0d3 cb00 71fe cb00 7109
                d5e9 17c0 0044 0000
                """
            ),
            (
                .v4, .v6,
                """
                86dd 6b9c 1ce9 0030 1140
                2001 0db8 0009 0000 0000 0000 0000 00fe 2001 0db8 0009 0000 0000 0000 0000 0009
                d5cd 17c0 0030 0000
                """
            ),
            (
                .v6, .v6,
                """
                86dd 6b92 b864 0044 1140
                2001 0db8 0009 0000 0000 0000 0000 00fe 2001 0db8 0009 0000 0000 0000 0000 0009
                d5e9 17c0 0044 0000
                """
            ),
        ] as [(IPFamily, IPFamily, String)])
    func `gue puts UDP between, its port from the hash, in all combinations`(
        inner: IPFamily, outer: IPFamily, header: String
    ) {
        let outcome = Setting(MARTLET_GUE, over: outer).outcome(Sent.frame(inner))
        #expect(outcome.verdictName == "FORWARD_GUE")
        #expect(outcome.action == .transmit)
        let packet = inner == .v4 ? Sent.v4 : Sent.v6
        #expect(outcome.frame == Sent.link + bytes(header) + packet + Sent.padding)
    }

    @Test func `gue goes to the port of the backend`() {
        var setting = Setting(MARTLET_GUE)
        setting.changeBackend { $0.tunnelPort = 5555 }
        #expect(setting.outcome(Sent.frame(.v4)).frame[36..<38] == bytes("15b3")[...])
    }

    /// RFC 6040 §4.1: Not-ECT, ECT(1), ECT(0), CE, and DSCP with all of its bits.
    @Test(arguments: ["00", "01", "02", "03", "fc", "ff"])
    func `DSCP and ECN are copied to the outer header`(trafficClass: String) {
        let (high, low) = (String(trafficClass.prefix(1)), String(trafficClass.suffix(1)))
        let v4 = ethernet(0x0800) + bytes("45" + trafficClass) + Sent.v4[2...]
        let v6 = ethernet(0x86dd) + bytes("6" + trafficClass + "0") + Sent.v6[2...]
        for frame in [v4, v6] {
            let outer4 = Setting(MARTLET_IPIP, over: .v4).outcome(frame).frame
            #expect(outer4[14..<16] == bytes("45" + trafficClass)[...])
            let outer6 = Setting(MARTLET_GUE, over: .v6).outcome(frame).frame
            #expect(outer6[14] == bytes("6" + high)[0])
            #expect(outer6[15] >> 4 == bytes("0" + low)[0])
        }
    }

    /// Bits 32 to 63 of the hashes, the lowest byte first: 72e9 1ccc and c664 b842.
    @Test func `the source address takes the bits of its entropy from the hash`() {
        var setting = Setting(MARTLET_IPIP, over: .v4)
        setting.changeBackend {
            $0.source = .v4(IPv4Address(0xac10_0000))
            $0.sourceEntropy = 0x0000_ffff
        }
        // The checksum covers them.
        let outer = bytes("45b9 003c 0000 4000 4004 351f ac10 1ccc cb00 7109")
        #expect(setting.outcome(Sent.frame(.v4)).frame[14..<34] == outer[...])
        setting.changeBackend {
            $0.source = .v4(IPv4Address(0x0a00_0001))
            $0.sourceEntropy = 0x00ff_f000
        }
        #expect(setting.outcome(Sent.frame(.v6)).frame[26..<30] == bytes("0a64 b001")[...])

        setting = Setting(MARTLET_GUE, over: .v6)
        setting.changeBackend {
            $0.source = .v6(IPv6Address(0x2001_0db8_0009 << 80))
            $0.sourceEntropy = 0xffff_ffff
        }
        let source = bytes("2001 0db8 0009 0000 0000 0000 72e9 1ccc")
        #expect(setting.outcome(Sent.frame(.v4)).frame[22..<38] == source[...])
    }
}
