import CDatapath
import Glibc

// What the words and flows of a NAT table mean; bpf/src/nat.h has the same.

/// The clock by which the data path says when a flow was last used, in units of 2^30 ns:
/// `bpf_ktime_get_coarse_ns`.
package func coarseTime() -> UInt32 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
    let nanoseconds = UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    return UInt32(truncatingIfNeeded: nanoseconds >> 30) & timeMask
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

/// The share that the flow belongs to: the lowest bits of its tag.
func natShare(_ word: UInt64) -> Int {
    Int(word >> UInt64(MARTLET_NAT_TAG_SHIFT.rawValue)) & (Int(MARTLET_NAT_SHARES.rawValue) - 1)
}

private let timeMask: UInt32 = 1 << UInt32(MARTLET_NAT_TIME_BITS.rawValue) - 1
