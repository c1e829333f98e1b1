package import Balancing
package import CDatapath

/// An entry of the flow table: `MARTLET_FLOW_…` in martlet_abi.h.
package struct FlowEntry: Hashable, Sendable {
    package let word: UInt64

    package init(word: UInt64) { self.word = word }

    /// - Parameters:
    ///   - fingerprint: The upper 18 bits of the flow's hash.
    ///   - epoch: When the last packet came.
    package init(
        fingerprint: UInt32, epoch: FlowEpoch, state: martlet_flow_state, slot: Int,
        backend: BackendID
    ) {
        word =
            UInt64(fingerprint) << UInt64(MARTLET_FLOW_FINGERPRINT_SHIFT.rawValue)
            | UInt64(epoch.number) << UInt64(MARTLET_FLOW_EPOCH_SHIFT.rawValue)
            | UInt64(state.rawValue) << UInt64(MARTLET_FLOW_STATE_SHIFT.rawValue)
            | UInt64(slot) << UInt64(MARTLET_FLOW_SLOT_SHIFT.rawValue) | UInt64(backend.number)
    }

    /// The backend's number.
    package var backend: Int { Int(word & MARTLET_FLOW_BACKEND) }
    package var slot: Int { field(MARTLET_FLOW_SLOT, MARTLET_FLOW_SLOT_SHIFT) }
    package var state: martlet_flow_state {
        martlet_flow_state(UInt32(field(MARTLET_FLOW_STATE, MARTLET_FLOW_STATE_SHIFT)))
    }
    package var epoch: FlowEpoch {
        FlowEpoch(UInt64(field(MARTLET_FLOW_EPOCH, MARTLET_FLOW_EPOCH_SHIFT)))
    }

    private func field(_ mask: UInt64, _ shift: martlet_flow_shift) -> Int {
        Int((word & mask) >> UInt64(shift.rawValue))
    }
}

/// The time in units of 2^33 ns (8.6 s), as an entry has it: modulo 2^12 (9.8 h).
package struct FlowEpoch: Hashable, Sendable {
    package let number: UInt16

    package init(_ number: UInt64) { self.number = UInt16(number & UInt64(Self.mask)) }

    private static let mask: UInt16 = 1 << UInt16(MARTLET_FLOW_EPOCH_BITS.rawValue) - 1
    /// Nanoseconds of one.
    private static let length = 1 << Int(MARTLET_FLOW_TICK_SHIFT.rawValue)

    /// That of the data path: `bpf_ktime_get_coarse_ns`.
    package static var now: FlowEpoch {
        FlowEpoch(coarseNanoseconds() >> UInt64(MARTLET_FLOW_TICK_SHIFT.rawValue))
    }

    /// How many epochs before `now` this one was. One that is ahead by one is now's: a CPU has
    /// read the clock later than we.
    package func age(at now: FlowEpoch) -> UInt16 {
        let age = (now.number &- number) & Self.mask
        return age == Self.mask ? 0 : age
    }

    /// The age up to which an entry is no older than `limit`, whenever in their epochs it was
    /// renewed and is looked at: so one stays for up to two epochs longer, and never shorter.
    package static func greatestAge(within limit: Duration) -> UInt16 {
        let limit = min(max(limit, .zero), longestLimit)
        let (seconds, attoseconds) = limit.components
        let nanoseconds = Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
        return UInt16((nanoseconds + length - 1) / length)
    }

    /// Leaves the sweeper an hour and a half before an expired entry looks like a new one.
    package static let longestLimit = Duration.seconds(8 * 3600)
}
