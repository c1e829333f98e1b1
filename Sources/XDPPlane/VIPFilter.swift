import BPF
import CDatapath
import Packets

/// The bits that say which addresses may be VIPs; `vip_filter` of bpf/src/maps.h.
///
/// At no moment is the bit of a VIP 0. One too many costs a look into the trie, and nothing else.
struct VIPFilter: ~Copyable {
    private let words: MappedArray<UInt64>

    /// Prefixes with more addresses have all bits: they would have most of them anyway.
    private static let addressLimit = Int(MARTLET_VIP_FILTER_BITS.rawValue)

    init(in tables: borrowing Tables) throws(Failure) {
        words = try MappedArray<UInt64>(tables.vipFilter)
    }

    /// Sets the bits of these VIPs.
    func add(_ vips: some Collection<IPPrefix>) {
        for (index, word) in Self.words(of: vips).enumerated() where word & ~words[index] != 0 {
            words[index] |= word
        }
    }

    /// Sets the bits of these VIPs, and clears all others.
    func keep(only vips: some Collection<IPPrefix>) {
        for (index, word) in Self.words(of: vips).enumerated() where words[index] != word {
            words[index] = word
        }
    }

    private static func words(of vips: some Collection<IPPrefix>) -> [UInt64] {
        let count = Int(MARTLET_VIP_FILTER_BITS.rawValue) / 64
        var words = [UInt64](repeating: 0, count: count)
        for vip in vips {
            guard let addresses = vip.addresses(atMost: addressLimit) else {
                return Array(repeating: .max, count: count)
            }
            for bit in addresses.map(filterBit) { words[bit / 64] |= 1 << UInt64(bit % 64) }
        }
        return words
    }
}

/// Which bit stands for the address: its 32-bit words, as they lie in a packet, are folded
/// together and multiplied (Knuth 6.4); service.h has the same.
func filterBit(of address: IPAddress) -> Int {
    let words = martlet_address(address).word
    let fold = words.0 ^ words.1 ^ words.2 ^ words.3
    return Int((fold &* 0x9E37_79B1) >> 16)
}
