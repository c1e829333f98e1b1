/// An IPv4 address (RFC 791) as a number: `192.0.2.1` is `0xC0000201`.
public struct IPv4Address: Hashable, Comparable, Sendable {
    /// The address as a number in the order of this machine.
    public let number: UInt32

    /// The address that is `number`.
    public init(_ number: UInt32) { self.number = number }

    /// The four bytes as they stand in a packet.
    public var bytes: [UInt8] { bigEndianBytes(number) }

    public static func < (left: Self, right: Self) -> Bool { left.number < right.number }
}

/// An IPv6 address (RFC 4291) as a number of 128 bits.
public struct IPv6Address: Hashable, Comparable, Sendable {
    /// The address as a number in the order of this machine.
    public let number: UInt128

    /// The address that is `number`.
    public init(_ number: UInt128) { self.number = number }

    /// The sixteen bytes as they stand in a packet.
    public var bytes: [UInt8] { bigEndianBytes(number) }

    public static func < (left: Self, right: Self) -> Bool { left.number < right.number }
}

/// The two versions of the Internet Protocol.
public enum IPFamily: UInt8, Hashable, Sendable, CaseIterable {
    case v4 = 4
    case v6 = 6
}

extension IPFamily: CustomStringConvertible {
    /// `IPv4` or `IPv6`.
    public var description: String { self == .v4 ? "IPv4" : "IPv6" }
}

/// An address of either family.
public enum IPAddress: Hashable, Sendable {
    case v4(IPv4Address)
    case v6(IPv6Address)

    /// The family that the address belongs to.
    public var family: IPFamily {
        switch self {
        case .v4: .v4
        case .v6: .v6
        }
    }

    /// The 4 or 16 bytes as they stand in a packet.
    public var bytes: [UInt8] {
        switch self {
        case .v4(let address): address.bytes
        case .v6(let address): address.bytes
        }
    }

    /// The address with these bytes in network order; nil unless there are 4 or 16 of them.
    public init?(bytes: some Collection<UInt8>) {
        switch bytes.count {
        case 4: self = .v4(IPv4Address(number(bigEndian: bytes)))
        case 16: self = .v6(IPv6Address(number(bigEndian: bytes)))
        default: return nil
        }
    }
}

/// IPv4 before IPv6, then by number: an order that every node agrees on.
extension IPAddress: Comparable {
    public static func < (left: Self, right: Self) -> Bool {
        switch (left, right) {
        case (.v4(let left), .v4(let right)): left < right
        case (.v6(let left), .v6(let right)): left < right
        case (.v4, .v6): true
        case (.v6, .v4): false
        }
    }
}

private func bigEndianBytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    stride(from: Number.bitWidth - 8, through: 0, by: -8).map {
        UInt8(truncatingIfNeeded: number >> Number($0))
    }
}

private func number<Number: FixedWidthInteger>(bigEndian bytes: some Collection<UInt8>) -> Number {
    bytes.reduce(0) { $0 << 8 | Number($1) }
}
