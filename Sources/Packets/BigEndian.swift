/// An integer as the network orders its bytes; what a packet and a map key hold.
///
/// The stored bits are already in network order, so a value can be copied to the wire as it is.
public struct BigEndian<Integer: FixedWidthInteger & Sendable>: Hashable, Sendable {
    /// The integer with its bytes in network order: of use only to what copies them.
    public let networkOrder: Integer

    /// Orders the bytes of `value` as the network does.
    public init(_ value: Integer) { networkOrder = value.bigEndian }

    /// Takes bits that are in network order already.
    public init(networkOrder: Integer) { self.networkOrder = networkOrder }

    /// The number that the bytes stand for.
    public var value: Integer { Integer(bigEndian: networkOrder) }
}
