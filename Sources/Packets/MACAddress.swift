/// A 48-bit Ethernet address (IEEE 802).
public struct MACAddress: Hashable, Sendable {
    /// The address as a number: the first byte on the wire is bits 40 to 47.
    public let number: UInt64

    /// The address whose lower 48 bits are `number`.
    public init(_ number: UInt64) { self.number = number & 0xFFFF_FFFF_FFFF }

    /// The address with these bytes; nil unless there are six.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 6 else { return nil }
        number = bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// The six bytes as they stand in a frame.
    public var bytes: [UInt8] {
        stride(from: 40, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> $0) }
    }
}

extension MACAddress: LosslessStringConvertible {
    /// Reads `02:00:00:00:00:01`; nil for anything else.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { $0.utf8.count == 2 ? UInt8($0, radix: 16) : nil }
        guard parts.count == 6, bytes.count == 6 else { return nil }
        self.init(bytes: bytes)
    }

    /// `02:00:00:00:00:01`
    public var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }
}
