import Packets

extension Kind where Result == IPAddress {
    /// An address that one machine can have and others can reach.
    static var address: Kind {
        Kind(accepted: "an IPv4 or IPv6 address, like 192.0.2.1") { text, _ in
            guard let address = IPAddress(text) else {
                return .refused(suggestion: bareAddress(in: text))
            }
            guard let special = specialBlock(overlapping: IPPrefix(address)) else {
                return .value(address)
            }
            return .refused(
                remark: special.remark,
                accepted: special.accepted ?? "an address by which others reach one machine")
        }
    }
}

/// The address inside `192.0.2.1/32`, `192.0.2.1:80` or `[2001:db8::1]:80`.
func bareAddress(in text: String) -> String? {
    let inner = text.hasPrefix("[") ? text.dropFirst().prefix { $0 != "]" } : text[...]
    let candidates = [inner, inner.prefix { $0 != "/" }, inner.prefix { $0 != ":" }]
    return candidates.compactMap { IPAddress(String($0)) }.first?.description
}

/// The block of addresses that can't be a VIP or a backend which `prefix` has a part in.
func specialBlock(overlapping prefix: IPPrefix) -> SpecialBlock? {
    specialBlocks.first { $0.block.overlaps(prefix) }
}

/// Addresses that can't be a VIP or a backend (RFC 6890, RFC 4291).
struct SpecialBlock {
    let block: IPPrefix
    let remark: String
    let accepted: String?

    /// The block of addresses whose first `length` bits are those of `base`.
    init(_ base: IPAddress, _ length: Int, _ remark: String, accepted: String? = nil) {
        block = IPPrefix(of: base, length: length)
        self.remark = remark
        self.accepted = accepted
    }
}

/// The first that fits is named.
private let specialBlocks: [SpecialBlock] = [
    SpecialBlock(v4(0x0000_0000), 8, "an unspecified address"),
    SpecialBlock(v4(0x7F00_0000), 8, "a loopback address"),
    SpecialBlock(v4(0xA9FE_0000), 16, "a link-local address"),
    SpecialBlock(v4(0xE000_0000), 4, "a multicast address"),
    SpecialBlock(v4(0xFFFF_FFFF), 32, "the broadcast address"),
    SpecialBlock(v4(0xF000_0000), 4, "a reserved address"),
    SpecialBlock(v6(0), 128, "the unspecified address"),
    SpecialBlock(v6(1), 128, "the loopback address"),
    SpecialBlock(
        v6(0xFFFF << 32), 96, "an IPv4 address in the form of IPv6",
        accepted: "the IPv4 address by itself"),
    SpecialBlock(v6(0xFE80 << 112), 10, "a link-local address"),
    SpecialBlock(v6(0xFF << 120), 8, "a multicast address"),
]

private func v4(_ number: UInt32) -> IPAddress { .v4(IPv4Address(number)) }
private func v6(_ number: UInt128) -> IPAddress { .v6(IPv6Address(number)) }
