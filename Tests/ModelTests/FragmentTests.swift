import CDatapath
import Packets
import Testing

@testable import Model

/// Fragments: RFC 791 §3.1, RFC 8200 §4.5, and docs/life-of-a-packet.md §2.
struct FragmentTests {
    /// A fragment of packet 01020304; the offset is in bytes.
    private func fragment6(
        _ offset: Int, more: Bool = false, next: UInt8 = 6, identification: String = "0102 0304",
        _ payload: [UInt8], hops: UInt8 = 63
    ) -> [UInt8] {
        ipv6(
            [next, 0] + word(offset | (more ? 1 : 0)) + bytes(identification) + payload, next: 44,
            hops: hops)
    }

    private static let key4 = Tables.FragmentKey(
        source: .v4(IPv4Address(0xc633_6407)), destination: Setting.vip,
        identification: 0x1234_0000, transport: 6)
    private static let key6 = Tables.FragmentKey(
        source: .v6(IPv6Address(0x2001_0db8_0001 << 80 | 7)), destination: Setting.vip6,
        identification: 0x0102_0304, transport: 0)

    /// After the first fragments of one packet of each family.
    private func settingWithNotes() -> Setting {
        var setting = Setting()
        let note = Tables.Fragment(service: Setting.service, backend: 9, hash: 0x1122_3344)
        setting.tables.fragments = [Self.key4: note, Self.key6: note]
        return setting
    }

    // MARK: The first

    @Test func `a first fragment leaves a note of where it went`() throws {
        let v4 = Setting().outcome(ethernet(0x0800) + ipv4(tcp(), fragment: 0x2000))
        #expect(v4.verdictName == "FORWARD_L2_DSR")
        let note4 = try #require(v4.note)
        #expect(note4.key == Self.key4)
        #expect(
            note4.value == Tables.Fragment(service: 1, backend: 9, hash: 0xcc1c_e972_95cd_13b6))

        let v6 = Setting().outcome(ethernet(0x86dd) + fragment6(0, more: true, tcp()))
        #expect(v6.verdictName == "FORWARD_L2_DSR")
        let note6 = try #require(v6.note)
        #expect(note6.key == Self.key6)
        #expect(
            note6.value == Tables.Fragment(service: 1, backend: 9, hash: 0x42b8_64c6_95e9_8b6e))
    }

    @Test(arguments: [0x0000, 0x4000, 0x8000, 0xc000])
    func `flags that are no fragment's leave no note`(word: Int) {
        let outcome = Setting().outcome(ethernet(0x0800) + ipv4(tcp(), fragment: word))
        #expect(outcome.verdictName == "FORWARD_L2_DSR")
        #expect(outcome.note == nil)
    }

    /// RFC 6946; the two bits above "more" are reserved.
    @Test(arguments: [0, 2, 4, 6])
    func `an IPv6 fragment that is the whole packet is no fragment`(word: Int) {
        let outcome = Setting().outcome(ethernet(0x86dd) + fragment6(word, tcp()))
        #expect(outcome.verdictName == "FORWARD_L2_DSR")
        #expect(outcome.note == nil)
    }

    @Test func `a first fragment leaves its note when it is dropped on its way, too`() {
        var setting = Setting()
        let first = ethernet(0x0800) + ipv4(tcp(), fragment: 0x2000)
        setting.changeBackend { $0.egress = 0 }
        #expect(setting.frame(first) == "DROP_NO_NEXT_HOP")
        #expect(setting.outcome(first).note?.key == Self.key4)
    }

    @Test func `no note names a backend of another service`() {
        var setting = Setting()
        let first = ethernet(0x0800) + ipv4(tcp(), fragment: 0x2000)
        setting.changeBackend { $0.service = 2 }
        #expect(setting.frame(first) == "DROP_BROKEN_TABLE")
        #expect(setting.outcome(first).note == nil)
        setting.tables.slots[Setting.service] = [0, 0, 0, 0, 0, 0, 0, 0]
        #expect(setting.frame(first) == "DROP_NO_BACKEND")
        #expect(setting.outcome(first).note == nil)
    }

    // MARK: Later ones

    @Test func `a later fragment goes where the first one went, and only after it`() {
        for packet in [[1], filler(24)] {
            let v4 = ethernet(0x0800) + ipv4(packet, fragment: 3)
            let v6 = ethernet(0x86dd) + fragment6(24, packet)
            #expect(Setting().frame(v4) == "DROP_FRAGMENT")
            #expect(Setting().frame(v6) == "DROP_FRAGMENT")
            #expect(Setting().outcome(v4).service == nil)
            for frame in [v4, v6] {
                let outcome = settingWithNotes().outcome(frame)
                #expect(outcome.verdictName == "FORWARD_L2_DSR")
                #expect(outcome.service == Setting.service)
                #expect(outcome.backend == Setting.backend)
                #expect(outcome.note == nil)
            }
        }
    }

    @Test(arguments: [0x2003, 0x0003, 0x3fff, 0x6003])
    func `more of them or none: an offset makes a fragment a later one`(word: Int) {
        #expect(settingWithNotes().v4(ipv4([1], fragment: word)) == "FORWARD_L2_DSR")
    }

    @Test func `a note is of one packet: addresses, identification, and protocol of IPv4`() {
        let setting = settingWithNotes()
        let later = ipv4([1], fragment: 3)
        #expect(setting.v4(later) == "FORWARD_L2_DSR")
        #expect(setting.v4(later.replacing([4: 0x13])) == "DROP_FRAGMENT")
        #expect(setting.v4(later.replacing([5: 0x35])) == "DROP_FRAGMENT")
        #expect(setting.v4(later.replacing([9: 17])) == "DROP_FRAGMENT")
        #expect(setting.v4(later.replacing([15: 8])) == "DROP_FRAGMENT")
        let later6 = fragment6(24, [1])
        #expect(setting.v6(later6) == "FORWARD_L2_DSR")
        #expect(setting.v6(fragment6(24, identification: "0102 0305", [1])) == "DROP_FRAGMENT")
        #expect(setting.v6(fragment6(24, identification: "1102 0304", [1])) == "DROP_FRAGMENT")
        #expect(setting.v6(later6.replacing([23: 8])) == "DROP_FRAGMENT")
        // RFC 8200 §4.5: the first header may differ.
        #expect(setting.v6(fragment6(24, next: 60, [1])) == "FORWARD_L2_DSR")
    }

    @Test func `the backend must still be of the service that the first one was for`() {
        var setting = settingWithNotes()
        let later = ethernet(0x0800) + ipv4([1], fragment: 3)
        setting.changeBackend { $0.service = 2 }
        #expect(setting.frame(later) == "DROP_FRAGMENT")
        #expect(setting.outcome(later).service == nil)
        setting.tables.backends = [:]
        #expect(setting.frame(later) == "DROP_FRAGMENT")
    }

    @Test func `a later fragment for somebody else is the kernel's, though there is a note`() {
        var setting = settingWithNotes()
        #expect(setting.v4(ipv4([1], to: Place.stranger, fragment: 3)) == "PASS_NO_SERVICE")
        setting.tables.vips = []
        #expect(setting.v4(ipv4([1], fragment: 3)) == "PASS_NO_SERVICE")
        #expect(setting.v6(fragment6(24, [1])) == "PASS_NO_SERVICE")
    }

    @Test func `a later fragment of a martian is dropped before its offset is looked at`() {
        #expect(Setting().v4(ipv4([1], from: [127, 0, 0, 1], fragment: 1)) == "DROP_MARTIAN")
        #expect(Setting().v4(ipv4([1], from: Place.vip, fragment: 3)) == "DROP_MARTIAN")
    }

    /// RFC 1858 §3.1, with the 20 bytes that were read.
    @Test(arguments: [
        (1, "DROP_FRAGMENT_OVERLAP"), (2, "DROP_FRAGMENT_OVERLAP"),
        (3, "FORWARD_L2_DSR"),
    ])
    func `a fragment may not overwrite the TCP header`(offset: Int, verdict: String) {
        let setting = settingWithNotes()
        #expect(setting.v4(ipv4([1], fragment: offset)) == verdict)
        #expect(setting.v4(ipv4([1], fragment: 0x2000 | offset)) == verdict)
        #expect(setting.v6(fragment6(offset * 8, [1])) == verdict)
        // UDP was read to byte 8, where the second fragment can begin at the earliest.
        #expect(setting.v4(ipv4([1], next: 17, fragment: offset)) == "DROP_FRAGMENT")
    }

    @Test func `a later fragment goes through the tunnel as the first one did`() {
        var setting = settingWithNotes()
        setting.changeBackend { $0.forwarding = MARTLET_GUE.rawValue }
        for (hash, port) in [
            (0x1122_3344, "d122"), (0, "c000"), (0xffff_ffff, "ffff"), (0xffff, "c000"),
            (0xc000_0000, "c000"), (0x2000_0000, "e000"), (0x1_0000, "c001"),
        ] as [(UInt64, String)] {
            setting.tables.fragments[Self.key4]?.hash = hash
            let outcome = setting.outcome(ethernet(0x0800) + ipv4([1], fragment: 3))
            #expect(outcome.verdictName == "FORWARD_GUE")
            #expect(outcome.frame[34..<36] == bytes(port)[...])
        }
    }

    @Test func `the flow label is of 20 bits, 40 to 59 of the hash`() {
        var setting = Setting(MARTLET_IPIP, over: .v6)
        for (hash, start) in [
            (0xf000_00ff_ffff_ffff, "6000 0000"), (0x0fff_ff00_0000_0000, "600f ffff"),
            (0x0123_4500_0000_0000, "6001 2345"),
        ] as [(UInt64, String)] {
            setting.tables.fragments[Self.key4] = Tables.Fragment(
                service: Setting.service, backend: Setting.backend, hash: hash)
            let outcome = setting.outcome(ethernet(0x0800) + ipv4([1], fragment: 3))
            #expect(outcome.verdictName == "FORWARD_IPIP")
            #expect(outcome.frame[14..<18] == bytes(start)[...])
        }
    }

    @Test func `a later fragment may come to the end of its time`() {
        #expect(settingWithNotes().v4(ipv4([1], ttl: 1, fragment: 3)) == "DROP_EXPIRED")
        #expect(settingWithNotes().v6(fragment6(24, [1], hops: 1)) == "DROP_EXPIRED")
    }

    // MARK: Of ICMP

    @Test(arguments: [0x2000, 1, 3])
    func `a fragment of ICMP is dropped`(word: Int) {
        let packet = ipv4(icmp(8), next: 1, fragment: word)
        #expect(Setting().v4(packet) == "DROP_FRAGMENT")
        let offset = (word & 0x1fff) * 8
        let packet6 = fragment6(offset, more: offset == 0, next: 58, icmp(128))
        #expect(Setting().v6(packet6) == "DROP_FRAGMENT")
        let stranger = ipv4(icmp(8), next: 1, to: Place.stranger, fragment: word)
        #expect(Setting().v4(stranger) == "PASS_NO_SERVICE")
    }
}

extension [UInt8] {
    /// With other bytes at these places.
    func replacing(_ changes: [Int: UInt8]) -> [UInt8] {
        var bytes = self
        for (at, byte) in changes { bytes[at] = byte }
        return bytes
    }
}
