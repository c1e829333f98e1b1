/// The addresses whose first bits are the same: `203.0.113.0/28` (RFC 4632 §3.1, RFC 4291 §2.3).
///
/// A prefix as long as its addresses is a single one.
public struct IPPrefix: Hashable, Sendable {
    /// The first of the addresses: the bits beyond `length` are 0.
    public let base: IPAddress
    /// How many bits are the same: 0 to 32, or 0 to 128.
    public let length: Int

    /// The prefix of `length` bits that begins with `base`.
    ///
    /// Nil if there is none: `length` is out of range, or `base` has bits beyond it.
    public init?(_ base: IPAddress, length: Int) {
        guard 0...base.family.bits ~= length, base.clearing(beyond: length) == base else {
            return nil
        }
        self.base = base
        self.length = length
    }

    /// The prefix that is this address alone.
    public init(_ address: IPAddress) {
        base = address
        length = address.family.bits
    }

    /// The prefix of `length` bits, at most as many as there are, that `address` is in.
    public init(of address: IPAddress, length: Int) {
        base = address.clearing(beyond: length)
        self.length = length
    }

    /// The family of the addresses.
    public var family: IPFamily { base.family }

    /// Whether it is a single address.
    public var isSingle: Bool { length == family.bits }

    /// How many bits tell its addresses apart.
    public var hostBits: Int { family.bits - length }

    /// The last of the addresses.
    public var last: IPAddress {
        switch base {
        case .v4(let address): .v4(IPv4Address(address.number | ones(hostBits)))
        case .v6(let address): .v6(IPv6Address(address.number | ones(hostBits)))
        }
    }

    /// Whether `address` is one of its addresses; never if it is of the other family.
    public func contains(_ address: IPAddress) -> Bool {
        family == address.family && address.clearing(beyond: length) == base
    }

    /// Whether the two have an address in common: then one is inside the other.
    public func overlaps(_ other: IPPrefix) -> Bool {
        contains(other.base) || other.contains(base)
    }

    /// Its addresses, from the first to the last; nil if there are more than `limit`.
    public func addresses(atMost limit: Int) -> [IPAddress]? {
        guard hostBits < Int.bitWidth - 1, 1 << hostBits <= limit else { return nil }
        return (0..<(1 << hostBits)).map { offset in
            switch base {
            case .v4(let address): .v4(IPv4Address(address.number | UInt32(offset)))
            case .v6(let address): .v6(IPv6Address(address.number | UInt128(offset)))
            }
        }
    }
}

extension IPFamily {
    /// How many bits an address has.
    public var bits: Int { self == .v4 ? 32 : 128 }
}

/// By the first address, the wider prefix first: an order that every node agrees on.
extension IPPrefix: Comparable {
    public static func < (left: Self, right: Self) -> Bool {
        (left.base, left.length) < (right.base, right.length)
    }
}

extension IPPrefix: CustomStringConvertible {
    /// `203.0.113.0/28`; a single address as itself.
    public var description: String { isSingle ? "\(base)" : "\(base)/\(length)" }
}

extension IPAddress {
    /// The address with only its first `length` bits; the others are 0.
    fileprivate func clearing(beyond length: Int) -> IPAddress {
        switch self {
        case .v4(let address): .v4(IPv4Address(address.number & ~ones(32 - length)))
        case .v6(let address): .v6(IPv6Address(address.number & ~ones(128 - length)))
        }
    }
}

/// The number whose last `count` bits are 1.
private func ones<Number: FixedWidthInteger & UnsignedInteger>(_ count: Int) -> Number {
    // A shift by the whole width leaves nothing.
    ~(Number.max << Number(count))
}
