/// The addresses whose first bits are the same: `198.51.100.0/24`, `2001:db8::/32`.
public struct IPPrefix: Hashable, Sendable {
    /// The first of them: all bits beyond `length` are 0.
    public let base: IPAddress
    /// How many bits are the same, 0 to 32 or 128.
    public let length: Int

    /// The addresses that share the first `length` bits of `address`; nil if it has fewer.
    public init?(_ address: IPAddress, length: Int) {
        guard (0...address.bytes.count * 8).contains(length) else { return nil }
        self.length = length
        switch address {
        case .v4(let address):
            let mask: UInt32 = length == 0 ? 0 : .max << UInt32(32 - length)
            base = .v4(IPv4Address(address.number & mask))
        case .v6(let address):
            let mask: UInt128 = length == 0 ? 0 : .max << UInt128(128 - length)
            base = .v6(IPv6Address(address.number & mask))
        }
    }

    public var family: IPFamily { base.family }
}

extension IPPrefix: Comparable {
    public static func < (left: Self, right: Self) -> Bool {
        (left.base, left.length) < (right.base, right.length)
    }
}

extension IPPrefix: LosslessStringConvertible {
    /// Reads `198.51.100.0/24`, or a single address; nil for anything else, and for bits beyond the
    /// length that are not 0: somebody meant something else.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let address = IPAddress(String(parts[0])), parts.count <= 2 else { return nil }
        var length = address.bytes.count * 8
        if parts.count == 2 {
            let isPlain = parts[1].utf8.allSatisfy { (48...57).contains($0) }
            guard isPlain, parts[1] == "0" || !parts[1].hasPrefix("0"), let number = Int(parts[1])
            else { return nil }
            length = number
        }
        self.init(address, length: length)
        guard base == address else { return nil }
    }

    public var description: String { "\(base)/\(length)" }
}
