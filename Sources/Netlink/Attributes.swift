import CLinux

/// The attributes of a message, by type.
///
/// No length is believed before it is checked: what lies throws ``Malformed``.
package struct Attributes: Equatable, Sendable {
    /// Of several attributes of one type the kernel, too, takes the last.
    private var payloads: [Int: ArraySlice<UInt8>] = [:]

    /// Reads attributes up to the end of `bytes`.
    package init(_ bytes: ArraySlice<UInt8>) throws(Malformed) {
        var rest = bytes
        while !rest.isEmpty {
            guard let header = read(nlattr.self, from: rest) else {
                throw Malformed(reason: "\(rest.count) bytes are too few for an attribute")
            }
            let length = Int(header.nla_len)
            guard length >= MemoryLayout<nlattr>.size, length <= rest.count else {
                throw Malformed(
                    reason: "an attribute in \(rest.count) bytes says it has \(length)")
            }
            payloads[Int(header.nla_type) & typeMask] =
                rest.prefix(length).dropFirst(MemoryLayout<nlattr>.size)
            rest = rest.dropFirst(aligned(length))
        }
    }

    /// The payload of the attribute; nil if there is none.
    package func bytes(_ attribute: Int) -> ArraySlice<UInt8>? { payloads[attribute] }

    /// The integer, in the order of this machine, that the attribute holds; nil if there is none.
    package func integer<Integer: FixedWidthInteger & BitwiseCopyable>(
        _ attribute: Int, as _: Integer.Type = Integer.self
    ) throws(Malformed) -> Integer? {
        guard let payload = payloads[attribute] else { return nil }
        guard payload.count == MemoryLayout<Integer>.size,
            let value = read(Integer.self, from: payload)
        else {
            throw Malformed(reason: "the integer \(attribute) has \(payload.count) bytes")
        }
        return value
    }

    /// The text, without its final zero, that the attribute holds; nil if there is none.
    package func text(_ attribute: Int) -> String? {
        payloads[attribute].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// The attributes that the attribute holds; nil if there is none.
    package func nested(_ attribute: Int) throws(Malformed) -> Attributes? {
        guard let payload = payloads[attribute] else { return nil }
        return try Attributes(payload)
    }
}

/// The two upper bits of a type are flags: `NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`.
private let typeMask = 0x3FFF
