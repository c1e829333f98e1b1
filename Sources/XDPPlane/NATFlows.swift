import Balancing
import CDatapath
import Glibc
import Packets

// What the words and flows of a NAT table mean; bpf/src/nat.h has the same.

/// The clock by which the data path says when a flow was last used, in units of 2^30 ns:
/// `bpf_ktime_get_coarse_ns`.
func coarseTime() -> UInt32 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
    let nanoseconds = UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    return UInt32(truncatingIfNeeded: nanoseconds >> 30) & timeMask
}

/// Whether there is a flow behind the word that has not been idle for too long; `now` as
/// ``coarseTime()``.
func isOpen(_ word: UInt64, _ now: UInt32) -> Bool {
    let state = natState(word)
    guard state != UInt64(MARTLET_NAT_FREE.rawValue) else { return false }
    let used = UInt32(truncatingIfNeeded: word) >> UInt32(MARTLET_NAT_TIME_SHIFT.rawValue)
    let limit = (MARTLET_NAT_IDLE_LIMITS >> (state * 8) & 0xFF) * UInt64(MARTLET_NAT_IDLE_UNIT)
    return UInt64((now &- used) & timeMask) <= limit
}

/// UDP is a state of its own.
func natTransport(_ word: UInt64) -> Transport {
    natState(word) == UInt64(MARTLET_NAT_DATAGRAMS.rawValue) ? .udp : .tcp
}

private func natState(_ word: UInt64) -> UInt64 { word & UInt64(MARTLET_NAT_STATE.rawValue) }

private let timeMask: UInt32 = 1 << UInt32(MARTLET_NAT_TIME_BITS.rawValue) - 1

extension martlet_nat_flow {
    /// The hash of the packets of its client; their bytes are those of martlet_flow_v4 and _v6.
    func hash(_ family: IPFamily, _ transport: Transport, _ key: (UInt64, UInt64)) -> UInt64 {
        let ends = UInt64(client_port) | UInt64(vip_port) << 16 | UInt64(transport.rawValue) << 32
        switch family {
        case .v4:
            let addresses = UInt64(client.word.3) | UInt64(vip.word.3) << 32
            return sipHash([addresses, ends], key: key)
        case .v6: return sipHash(client.words + vip.words + [ends], key: key)
        }
    }
}

extension martlet_address {
    /// As they are in memory.
    fileprivate var words: [UInt64] {
        [UInt64(word.0) | UInt64(word.1) << 32, UInt64(word.2) | UInt64(word.3) << 32]
    }
}

/// SipHash-1-3 of 64-bit words (Aumasson, Bernstein: "SipHash: a fast short-input PRF");
/// bpf/src/siphash.h has the same.
private func sipHash(_ words: [UInt64], key: (UInt64, UInt64)) -> UInt64 {
    var state = SIMD4<UInt64>(
        key.0 ^ 0x736f_6d65_7073_6575, key.1 ^ 0x646f_7261_6e64_6f6d,
        key.0 ^ 0x6c79_6765_6e65_7261, key.1 ^ 0x7465_6462_7974_6573)
    for word in words + [UInt64(words.count * 8) << 56] {
        state[3] ^= word
        mix(&state)
        state[0] ^= word
    }
    state[2] ^= 0xFF
    for _ in 0..<3 { mix(&state) }
    return state[0] ^ state[1] ^ state[2] ^ state[3]
}

/// One round: SipRound of the paper, figure 2.1.
private func mix(_ state: inout SIMD4<UInt64>) {
    let rotate = { (value: UInt64, bits: UInt64) in value << bits | value >> (64 - bits) }
    state[0] &+= state[1]
    state[2] &+= state[3]
    state[1] = rotate(state[1], 13) ^ state[0]
    state[3] = rotate(state[3], 16) ^ state[2]
    state[0] = rotate(state[0], 32)
    state[2] &+= state[1]
    state[0] &+= state[3]
    state[1] = rotate(state[1], 17) ^ state[2]
    state[3] = rotate(state[3], 21) ^ state[0]
    state[2] = rotate(state[2], 32)
}
