import CDatapath
import Glibc
package import Packets

// What the words and flows of a NAT table mean; bpf/src/nat.h has the same.

/// The clock by which the data path says when a flow was last used, in units of 2^30 ns:
/// `bpf_ktime_get_coarse_ns`.
package func coarseTime() -> UInt32 {
    UInt32(truncatingIfNeeded: coarseNanoseconds() >> 30) & timeMask
}

/// The kernel's clock as it was at its last tick: `CLOCK_MONOTONIC_COARSE`.
func coarseNanoseconds() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Whether there is a flow behind the word that has not been idle for too long; `now` as
/// ``coarseTime()``.
func isOpen(_ word: UInt64, _ now: UInt32) -> Bool {
    let state = word & UInt64(MARTLET_NAT_STATE.rawValue)
    guard state != UInt64(MARTLET_NAT_FREE.rawValue) else { return false }
    let used = UInt32(truncatingIfNeeded: word) >> UInt32(MARTLET_NAT_TIME_SHIFT.rawValue)
    let age = (now &- used) & timeMask
    let limit = (MARTLET_NAT_IDLE_LIMITS >> (state * 8) & 0xFF) * UInt64(MARTLET_NAT_IDLE_UNIT)
    // What was used in the future was used by a CPU that has read the clock later.
    return UInt64(age) <= limit || age > timeMask / 2
}

/// What the flow behind the word would be in the flow table; nil if there is none, if it is being
/// made, or if it has been idle for too long.
func flowState(of word: UInt64, _ now: UInt32) -> martlet_flow_state? {
    guard word != 0, isOpen(word, now) else { return nil }
    switch martlet_nat_state(UInt32(word & UInt64(MARTLET_NAT_STATE.rawValue))) {
    case MARTLET_NAT_OPENING, MARTLET_NAT_ANSWERED: return MARTLET_FLOW_HALF_OPEN
    case MARTLET_NAT_ESTABLISHED: return MARTLET_FLOW_ESTABLISHED
    case MARTLET_NAT_CLOSING: return MARTLET_FLOW_CLOSING
    case MARTLET_NAT_ASKING, MARTLET_NAT_TALKING: return MARTLET_FLOW_DATAGRAMS
    default: return nil
    }
}

/// Where the packets of a backend's flows go: by that a flow knows its backend again.
package struct NATEnd: Sendable {
    /// As in `vips`.
    let address: (UInt64, UInt64)
    /// In network order; 0: the VIP's.
    let port: UInt16

    package init(_ address: IPAddress, port: UInt16?) {
        self.address = unsafe unsafeBitCast(
            martlet_address(mapping: address), to: (UInt64, UInt64).self)
        self.port = (port ?? 0).bigEndian
    }

    /// Whether the flow is one of this backend, and not of one that had its number before.
    func has(_ flow: NATFlowWords) -> Bool {
        flow.backendAddress == address && flow.backendPort == (port == 0 ? flow.vipPort : port)
    }
}

/// The words of a `martlet_nat_flow` that say who has it.
struct NATFlowWords {
    let backendAddress: (UInt64, UInt64)
    private let rest: UInt64

    /// - Parameter index: Where the flow begins.
    init(in words: borrowing some SharedWords & ~Copyable, at index: Int) {
        backendAddress = (words[index + 4], words[index + 5])
        rest = words[index + 6]
    }

    var vipPort: UInt16 { UInt16(truncatingIfNeeded: rest >> 16) }
    var backendPort: UInt16 { UInt16(truncatingIfNeeded: rest >> 32) }
    var backend: Int { Int(rest >> 48) }
}

/// Words of a bucket of a NAT table, and of a flow in it, which are behind the bucket's own words.
let wordsOfNATBucket = MemoryLayout<martlet_nat_bucket>.size / 8
let wordsOfNATFlow = MemoryLayout<martlet_nat_flow>.size / 8

/// The share that the flow belongs to: the lowest bits of its tag.
func natShare(_ word: UInt64) -> Int {
    Int(word >> UInt64(MARTLET_NAT_TAG_SHIFT.rawValue)) & (Int(MARTLET_NAT_SHARES.rawValue) - 1)
}

private let timeMask: UInt32 = 1 << UInt32(MARTLET_NAT_TIME_BITS.rawValue) - 1
