import Packets
import Testing

struct IPPrefixTests {
    @Test(arguments: [
        ("0.0.0.0/0", 0), ("198.51.100.0/24", 24), ("198.51.100.7", 32), ("198.51.100.7/32", 32),
        ("::/0", 0), ("2001:db8::/32", 32), ("2001:db8::1", 128),
    ])
    func `a prefix is read, and an address is one of a single address`(text: String, length: Int)
        throws
    {
        let prefix = try #require(IPPrefix(text))
        #expect(prefix.length == length)
        #expect(IPPrefix(prefix.description) == prefix)
    }

    @Test(arguments: [
        "", "/", "198.51.100.0/", "198.51.100.0/33", "198.51.100.0/-1", "198.51.100.0/+8",
        "198.51.100.0/024", "198.51.100.1/24", "198.51.100.0/24/8", "2001:db8::/129",
        "2001:db8::1/64", "198.51.100/24",
    ])
    func `what is no prefix, or has bits behind it, is refused`(text: String) {
        #expect(IPPrefix(text) == nil)
    }
}
