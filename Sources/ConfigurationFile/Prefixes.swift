import Packets

extension Kind where Result == IPPrefix {
    /// One address or a prefix, wherever it is.
    static var prefix: Kind {
        Kind(accepted: "an address, or a prefix like 192.0.2.0/24 or 2001:db8::/32") { text, _ in
            let reading = prefixReading(of: text)
            // The data path has IPv4 addresses in that form, and would take the one for the other.
            guard case .value(let prefix) = reading, mappedBlock.contains(prefix.base),
                prefix.length >= mappedBlock.length
            else { return reading }
            return .refused(
                remark: "IPv4 in the form of IPv6", accepted: "the IPv4 prefix by itself")
        }
    }

    /// Addresses that others reach: of a VIP, or to send from.
    static var reachablePrefix: Kind {
        let accepted = "an IPv4 or IPv6 address, like 192.0.2.1, or a prefix, like 192.0.2.0/28"
        return Kind(accepted: accepted) { text, _ in
            let reading = prefixReading(of: text)
            guard case .value(let prefix) = reading else { return reading.suggestingReachable }
            guard let special = specialBlock(overlapping: prefix) else { return reading }
            let remark = prefix.isSingle ? special.remark : "which contains \(special.remark)"
            return .refused(
                remark: remark,
                accepted: special.accepted
                    ?? "an address by which others reach one machine, or a prefix of such")
        }
    }
}

extension Kind.Reading where Result == IPPrefix {
    /// The same, without a suggestion that would be refused in its turn.
    fileprivate var suggestingReachable: Self {
        guard case .refused(let remark, let accepted, let suggestion?) = self,
            case .value(let prefix) = prefixReading(of: suggestion),
            specialBlock(overlapping: prefix) != nil
        else { return self }
        return .refused(remark: remark, accepted: accepted)
    }
}

/// RFC 4291 §2.5.5.2.
private let mappedBlock = IPPrefix(of: .v6(IPv6Address(0xFFFF << 32)), length: 96)

private func prefixReading(of text: String) -> Kind<IPPrefix>.Reading {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard let address = IPAddress(String(parts[0])), parts.count <= 2 else {
        return .refused(suggestion: bareAddress(in: text))
    }
    guard parts.count == 2 else { return .value(IPPrefix(address)) }
    let bits = address.family.bits
    guard case .value(let length) = Kind<Int>.number(0...bits).read(String(parts[1]), false) else {
        return .refused(
            accepted: "a length from 0 to \(bits) after the \"/\", without leading zeros")
    }
    if let prefix = IPPrefix(address, length: length) { return .value(prefix) }
    return .refused(
        remark: "which has bits beyond the \(length) of the prefix",
        suggestion: "\(IPPrefix(of: address, length: length))")
}
