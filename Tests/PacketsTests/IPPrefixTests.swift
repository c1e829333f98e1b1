import Packets
import Testing

struct IPPrefixTests {
    private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

    @Test(
        arguments: [
            ("203.0.113.0", 28, "203.0.113.0/28", "203.0.113.15"),
            ("203.0.113.7", 32, "203.0.113.7", "203.0.113.7"),
            ("0.0.0.0", 0, "0.0.0.0/0", "255.255.255.255"),
            ("2001:db8::", 64, "2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff"),
            ("2001:db8::1", 128, "2001:db8::1", "2001:db8::1"),
            ("::", 0, "::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ])
    func `a prefix goes from its base to its last address and no further`(
        base: String, length: Int, text: String, last: String
    ) throws {
        let prefix = try #require(IPPrefix(try address(base), length: length))
        #expect(prefix.description == text)
        #expect(prefix.last == (try address(last)))
        #expect(prefix.contains(prefix.base) && prefix.contains(prefix.last))
        #expect(prefix == IPPrefix(of: prefix.last, length: length))
    }

    @Test(
        arguments: [
            ("203.0.113.1", 28), ("203.0.113.8", 28), ("203.0.113.0", 33), ("203.0.113.0", -1),
            ("2001:db8::1", 127), ("2001:db8::", 129),
        ])
    func `bits beyond the length, or more than there are, are no prefix`(
        base: String, length: Int
    ) throws {
        #expect(IPPrefix(try address(base), length: length) == nil)
    }

    @Test(
        arguments: [
            ("203.0.113.16", false), ("203.0.112.255", false), ("203.0.113.8", true),
            ("::203.0.113.8", false),
        ])
    func `the neighbours of a prefix are outside`(other: String, isInside: Bool) throws {
        let prefix = IPPrefix(of: try address("203.0.113.0"), length: 28)
        #expect(prefix.contains(try address(other)) == isInside)
        #expect(prefix.overlaps(IPPrefix(try address(other))) == isInside)
        #expect(IPPrefix(try address(other)).overlaps(prefix) == isInside)
    }

    @Test func `addresses are told up to a limit`() throws {
        let prefix = IPPrefix(of: try address("203.0.113.0"), length: 30)
        #expect(prefix.addresses(atMost: 4)?.map(\.description).last == "203.0.113.3")
        #expect(prefix.addresses(atMost: 3) == nil)
        #expect(IPPrefix(of: try address("::"), length: 0).addresses(atMost: 1 << 16) == nil)
        #expect(IPPrefix(of: try address("::"), length: 112).addresses(atMost: 1 << 16) != nil)
    }
}
