import Model
import Testing

/// docs/life-of-a-packet.md §1.
///
/// Next to each frame that is accepted, the nearest that is not.
struct ParseTests {
    // MARK: Ethernet and its tags

    private static let whole = [
        ethernet(0x0800) + ipv4(tcp()),
        ethernet(0x0800, tags: ["88a8 0005", "8100 0006"])
            + ipv4(udp(), next: 17, options: bytes("0101 0100")),
        ethernet(0x86dd) + ipv6(udp(), next: 17),
        ethernet(0x86dd, tags: ["8100 0006"])
            // Hop-by-hop, routing, authentication and destination options before TCP.
            + ipv6(
                bytes("2b00 0000 0000 0000") + bytes("3301 0000 0000 0000 0000 0000 0000 0000")
                    + bytes("3c01 0000 0000 0000 0000 0000") + bytes("0600 0000 0000 0000")
                    + tcp(), next: 0),
    ]

    @Test(arguments: whole)
    func `a frame that is cut short at any byte is dropped`(whole: [UInt8]) {
        #expect(Setting().frame(whole) == "FORWARD_L2_DSR")
        for length in 0..<whole.count {
            #expect(Setting().frame(Array(whole[..<length])) == "DROP_TRUNCATED", "\(length)")
        }
    }

    @Test func `what is behind the packet is padding`() {
        let frame = ethernet(0x0800) + ipv4(tcp()) + filler(3)
        #expect(Setting().frame(frame) == "FORWARD_L2_DSR")
        #expect(Setting().outcome(frame).frame.suffix(23) == (tcp() + filler(3))[...])
        // The header that the packet's length has no room for is not looked for in the padding.
        #expect(Setting().v4(ipv4([], length: 39) + tcp()) == "DROP_TRUNCATED")
        #expect(Setting().v6(ipv6([], length: 19) + tcp()) == "DROP_TRUNCATED")
    }

    @Test(arguments: [
        ([], "FORWARD_L2_DSR"), (["8100 0fff"], "FORWARD_L2_DSR"),
        (["88a8 0001"], "FORWARD_L2_DSR"), (["88a8 0001", "8100 0002"], "FORWARD_L2_DSR"),
        (["8100 0001", "88a8 0002"], "FORWARD_L2_DSR"),
        (["88a8 0001", "8100 0002", "8100 0003"], "PASS_NOT_IP"), (["9100 0001"], "PASS_NOT_IP"),
    ])
    func `two VLAN tags are stepped over, three are not`(tags: [String], verdict: String) {
        #expect(Setting().frame(ethernet(0x0800, tags: tags) + ipv4(tcp())) == verdict)
        #expect(Setting().frame(ethernet(0x86dd, tags: tags) + ipv6(tcp())) == verdict)
    }

    @Test(arguments: [0x0806, 0x0801, 0x07ff, 0x86dc, 0x88cc, 0x002e])
    func `what is not IP is the kernel's`(type: Int) {
        #expect(Setting().frame(ethernet(type) + ipv4(tcp())) == "PASS_NOT_IP")
        #expect(Setting().frame(ethernet(type)) == "PASS_NOT_IP")
        #expect(Setting().frame(ethernet(type, tags: ["8100 0001"])) == "PASS_NOT_IP")
    }

    // MARK: IP

    @Test(arguments: [
        ("45", 40, "FORWARD_L2_DSR"), ("55", 40, "DROP_MALFORMED"), ("65", 40, "DROP_MALFORMED"),
        ("44", 40, "DROP_MALFORMED"), ("40", 40, "DROP_MALFORMED"), ("45", 19, "DROP_MALFORMED"),
        ("46", 23, "DROP_MALFORMED"), ("45", 0, "DROP_MALFORMED"), ("4f", 59, "DROP_MALFORMED"),
        // Room for the header, but not for TCP behind it.
        ("45", 20, "DROP_TRUNCATED"), ("4f", 40, "DROP_MALFORMED"), ("4a", 40, "DROP_TRUNCATED"),
        // More than there is.
        ("45", 41, "DROP_TRUNCATED"), ("45", 65535, "DROP_TRUNCATED"),
        ("4f", 60, "DROP_TRUNCATED"),
    ])
    func `an IPv4 header may not contradict itself`(first: String, length: Int, verdict: String) {
        let packet = ipv4(tcp(), length: length)
        #expect(Setting().v4(bytes(first) + packet.dropFirst()) == verdict)
    }

    @Test(arguments: [
        ("60", 20, "FORWARD_L2_DSR"), ("6f", 20, "FORWARD_L2_DSR"), ("50", 20, "DROP_MALFORMED"),
        ("70", 20, "DROP_MALFORMED"), ("40", 20, "DROP_MALFORMED"), ("60", 21, "DROP_TRUNCATED"),
        ("60", 19, "DROP_TRUNCATED"), ("60", 65535, "DROP_TRUNCATED"),
        // What RFC 2675 calls a jumbogram.
        ("60", 0, "DROP_TRUNCATED"),
    ])
    func `an IPv6 header may not contradict itself`(first: String, length: Int, verdict: String) {
        let packet = ipv6(tcp(), length: length)
        #expect(Setting().v6(bytes(first) + packet.dropFirst()) == verdict)
    }

    @Test func `a packet is of the version that its frame says`() {
        #expect(Setting().v6(ipv4(tcp(filler(20)))) == "DROP_MALFORMED")
        #expect(Setting().v4(ipv6(tcp())) == "DROP_MALFORMED")
    }

    @Test(arguments: [0, 4, 8, 36, 40])
    func `IPv4 options are stepped over`(count: Int) {
        // "No operation", so that what was read in their place would show.
        let options = [UInt8](repeating: 1, count: count)
        let outcome = Setting().outcome(ethernet(0x0800) + ipv4(tcp(), options: options))
        #expect(outcome.verdictName == "FORWARD_L2_DSR")
        #expect(outcome.flow?.destinationPort == 80)
    }

    @Test func `what is wrong with a packet for somebody else is the kernel's to say`() {
        let setting = Setting()
        #expect(setting.v4(ipv4([0])) == "DROP_TRUNCATED")
        #expect(setting.v4(ipv4([0], to: Place.stranger)) == "PASS_NO_SERVICE")
        #expect(setting.v4(ipv4(tcp(offset: 4), to: Place.stranger)) == "PASS_NO_SERVICE")
        #expect(setting.v6(ipv6([0], to: Place.stranger6)) == "PASS_NO_SERVICE")
        // But not what is wrong with its IP header.
        #expect(setting.v4(ipv4(tcp(), to: Place.stranger, length: 19)) == "DROP_MALFORMED")
        #expect(setting.v4(ipv4(tcp(), to: Place.stranger, length: 41)) == "DROP_TRUNCATED")
        #expect(setting.v6(ipv6(tcp(), to: Place.stranger6, length: 21)) == "DROP_TRUNCATED")
    }
}

/// TCP, UDP and the beginning of ICMP: §1.
struct TransportTests {
    @Test(arguments: [(6, 20), (17, 8)] as [(UInt8, Int)])
    func `a header that its packet is too short for is dropped`(next: UInt8, size: Int) {
        let header = next == 6 ? tcp() : udp(length: 8, [])
        #expect(header.count == size)
        for count in 0..<size {
            let short = Array(header[..<count])
            #expect(Setting().v4(ipv4(short, next: next) + filler(60)) == "DROP_TRUNCATED")
            #expect(Setting().v6(ipv6(short, next: next) + filler(60)) == "DROP_TRUNCATED")
        }
        #expect(Setting().v4(ipv4(header, next: next)) == "FORWARD_L2_DSR")
        #expect(Setting().v6(ipv6(header, next: next)) == "FORWARD_L2_DSR")
    }

    @Test func `an ICMP header that its packet is too short for is dropped`() {
        for count in 0..<8 {
            let short = Array(icmp(0)[..<count])
            #expect(Setting().v4(ipv4(short, next: 1) + filler(60)) == "DROP_TRUNCATED")
            #expect(Setting().v6(ipv6(short, next: 58) + filler(60)) == "DROP_TRUNCATED")
        }
        #expect(Setting().v4(ipv4(icmp(0), next: 1)) == "PASS_ICMP")
        #expect(Setting().v6(ipv6(icmp(0), next: 58)) == "PASS_ICMP")
    }

    @Test(
        arguments: [
            (5, 0, "FORWARD_L2_DSR"), (4, 0, "DROP_MALFORMED"), (0, 0, "DROP_MALFORMED"),
            (6, 3, "DROP_MALFORMED"), (6, 4, "FORWARD_L2_DSR"), (15, 39, "DROP_MALFORMED"),
            (15, 40, "FORWARD_L2_DSR"),
        ] as [(UInt8, Int, String)])
    func `a TCP header lies within its packet`(offset: UInt8, payload: Int, verdict: String) {
        let segment = tcp(offset: offset, filler(payload))
        #expect(Setting().v4(ipv4(segment) + filler(60)) == verdict)
        #expect(Setting().v6(ipv6(segment) + filler(60)) == verdict)
    }

    @Test(arguments: [
        (10, 0, "FORWARD_L2_DSR"), (8, 0, "FORWARD_L2_DSR"), (7, 0, "DROP_MALFORMED"),
        (0, 0, "DROP_MALFORMED"), (11, 0, "DROP_MALFORMED"), (11, 0x2000, "FORWARD_L2_DSR"),
        (7, 0x2000, "DROP_MALFORMED"),
    ])
    func `a UDP length lies within its packet, unless that is a fragment`(
        length: Int, fragment: Int, verdict: String
    ) {
        let datagram = udp(length: length)
        #expect(Setting().v4(ipv4(datagram, next: 17, fragment: fragment)) == verdict)
        let header = bytes("1100") + word(fragment >> 13) + bytes("0102 0304")
        #expect(Setting().v6(ipv6(header + datagram, next: 44)) == verdict)
    }

    @Test(arguments: [0, 2, 47, 50, 132, 255] as [UInt8])
    func `of other protocols nothing is read`(next: UInt8) {
        #expect(Setting().v4(ipv4([], next: next)) == "PASS_VIP_PROTOCOL")
        #expect(Setting().v4(ipv4(tcp(), next: next, to: Place.stranger)) == "PASS_NO_SERVICE")
    }

    @Test func `each ICMP belongs to its own IP`() {
        #expect(Setting().v4(ipv4(icmp(128), next: 58)) == "PASS_VIP_PROTOCOL")
        #expect(Setting().v6(ipv6(icmp(8), next: 1)) == "PASS_VIP_PROTOCOL")
    }
}

/// IPv6 extension headers: RFC 8200 §4.
struct ExtensionTests {
    /// Eight bytes of options, and so many times eight more.
    private func options(before next: UInt8, more: UInt8 = 0) -> [UInt8] {
        [next, more] + filler(6 + Int(more) * 8)
    }

    @Test(arguments: [0, 60] as [UInt8])
    func `four extension headers are stepped over, five are not`(kind: UInt8) {
        func chain(_ count: Int) -> [UInt8] {
            (1...count).flatMap { options(before: $0 == count ? 6 : kind) } + tcp()
        }
        #expect(Setting().v6(ipv6(chain(1), next: kind)) == "FORWARD_L2_DSR")
        #expect(Setting().v6(ipv6(chain(4), next: kind)) == "FORWARD_L2_DSR")
        #expect(Setting().v6(ipv6(chain(5), next: kind)) == "DROP_EXTENSIONS")
        let stranger = ipv6(chain(5), next: kind, to: Place.stranger6)
        #expect(Setting().v6(stranger) == "PASS_NO_SERVICE")
    }

    @Test func `the ports behind a chain of headers are those of the flow`() {
        let chain =
            bytes("2b00 0000 0000 0000")  // hop-by-hop, then
            + bytes("2c01 0000 0000 0000 0000 0000 0000 0000")  // routing, then
            + bytes("3300 0000 0102 0304")  // a fragment that is all, then
            + bytes("0601 0000 0000 0000 0000 0000")  // authentication, then TCP
        let outcome = Setting().outcome(ethernet(0x86dd) + ipv6(chain + tcp(), next: 0))
        #expect(outcome.verdictName == "FORWARD_L2_DSR")
        #expect(outcome.flow?.sourcePort == 41000)
        #expect(outcome.flow?.destinationPort == 80)
        #expect(outcome.flow?.transport == 6)
    }

    @Test(
        arguments: [(0, "FORWARD_L2_DSR"), (1, "DROP_SOURCE_ROUTED"), (255, "DROP_SOURCE_ROUTED")]
            as [(UInt8, String)])
    func `a routing header is stepped over when nothing of the route is left`(
        left: UInt8, verdict: String
    ) {
        let header = bytes("0600 00") + [left] + bytes("0000 0000")
        #expect(Setting().v6(ipv6(header + tcp(), next: 43)) == verdict)
        let stranger = ipv6(header + tcp(), next: 43, to: Place.stranger6)
        #expect(Setting().v6(stranger) == "PASS_NO_SERVICE")
    }

    /// RFC 4302 §2.2.
    @Test func `an authentication header counts words of four bytes, less two`() {
        let packet = ipv6(bytes("0604") + filler(22) + tcp(), next: 51)
        #expect(Setting().v6(packet) == "FORWARD_L2_DSR")
        // Eight of its own bytes at least, even where it says that there are none.
        #expect(Setting().v6(ipv6(bytes("0600") + filler(6) + tcp(), next: 51)) == "FORWARD_L2_DSR")
    }

    @Test func `an extension header ends within the packet`() {
        // "No next header" follows, so that nothing else is missed of what is cut off.
        let header = options(before: 59, more: 2)
        #expect(Setting().v6(ipv6(header, next: 60) + filler(60)) == "PASS_VIP_PROTOCOL")
        for count in 0..<header.count {
            let packet = ipv6(Array(header[..<count]), next: 60) + filler(60)
            #expect(Setting().v6(packet) == "DROP_TRUNCATED")
        }
        #expect(Setting().v6(ipv6(bytes("06ff") + filler(200), next: 60)) == "DROP_TRUNCATED")
    }

    @Test func `in a later fragment no header behind the fragment header is read`() {
        // What would be the destination options after it reaches far beyond the packet.
        let later = bytes("3c00 0018 0102 0304") + bytes("06ff 0000")
        #expect(Setting().v6(ipv6(later, next: 44)) == "DROP_FRAGMENT")
        let first = bytes("3c00 0001 0102 0304") + bytes("06ff 0000")
        #expect(Setting().v6(ipv6(first, next: 44)) == "DROP_TRUNCATED")
        let whole = bytes("3c00 0001 0102 0304") + options(before: 6) + tcp()
        #expect(Setting().v6(ipv6(whole, next: 44)) == "FORWARD_L2_DSR")
    }

    @Test(arguments: [59, 50, 135, 253] as [UInt8])
    func `headers of other kinds are protocols of which nothing is read`(next: UInt8) {
        #expect(Setting().v6(ipv6(options(before: 6) + tcp(), next: next)) == "PASS_VIP_PROTOCOL")
    }
}
