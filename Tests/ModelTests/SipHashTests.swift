import Testing

@testable import Model

/// The hash by itself, and what of a packet goes into it.
struct SipHashTests {
    /// The bytes 00 01 02 …
    private func message(words: Int) -> [UInt8] { (0..<UInt8(8 * words)).map { $0 } }

    /// Key 00 01 … 0f, messages 00 01 02 …: what Rust tests its `SipHasher13` with.
    @Test(
        arguments: [
            (0, 0xabac_0158_050f_c4dc), (1, 0x3690_9511_8d29_9a8e), (2, 0xcc4f_dd1a_7d90_8b66),
            (3, 0xf464_aeb2_6734_9c8c), (4, 0x8115_7b6c_16a7_b60d), (5, 0xc1d2_3632_99e4_1531),
        ] as [(Int, UInt64)])
    func `hashes are those that Rust's tests have`(words: Int, hash: UInt64) {
        let key: (UInt64, UInt64) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908)
        #expect(SipHash.hash(message(words: words), key: key) == hash)
    }

    /// Key zero, messages 00 01 02 …: `hash()` of CPython 3.11 with PYTHONHASHSEED=0.
    @Test(
        arguments: [
            (1, 0xead4_11e6_7ebe_2eea), (2, 0x8972_1884_33a5_c5b7), (5, 0x95bc_321a_b41d_8206),
        ] as [(Int, UInt64)])
    func `hashes are those that Python has`(words: Int, hash: UInt64) {
        #expect(SipHash.hash(message(words: words), key: (0, 0)) == hash)
    }

    /// Of c6336407 c0000264 a028 0050 06 and the like, by a SipHash-1-3 in Python that has
    /// the values above.
    @Test(
        arguments: [
            (41000, 80, 6, 0xcc1c_e972_95cd_13b6, 0x42b8_64c6_95e9_8b6e),
            (41001, 80, 6, 0x7770_0359_3c36_81c0, 0x0223_54a5_558c_5028),
            (41000, 53, 17, 0xdac5_0cbb_eadb_20d9, 0x354b_585e_1a15_b327),
        ] as [(Int, Int, UInt8, UInt64, UInt64)])
    func `the hash is of addresses, ports and protocol as they are in the packet`(
        source: Int, port: Int, next: UInt8, hash4: UInt64, hash6: UInt64
    ) {
        let payload = next == 6 ? tcp(from: source, to: port) : udp(to: port)
        let setting = Setting()
        let v4 = setting.outcome(ethernet(0x0800) + ipv4(payload, next: next))
        #expect(v4.hash == hash4)
        let v6 = setting.outcome(ethernet(0x86dd) + ipv6(payload, next: next))
        #expect(v6.hash == hash6)
        // Its three low bits, for there are eight slots.
        #expect(v4.slot == UInt32(hash4 % 8))
        #expect(v6.slot == UInt32(hash6 % 8))
    }

    @Test func `nothing but the flow goes into the hash`() {
        let other =
            ethernet(0x0800, tags: ["8100 0005"])
            + ipv4(tcp(flags: 2, filler(9)), ttl: 9, fragment: 0, options: bytes("0101 0100"))
        #expect(Setting().outcome(other).hash == 0xcc1c_e972_95cd_13b6)
    }
}
