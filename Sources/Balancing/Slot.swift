/// One slot of a service, as a plane holds it: who gets the flows that hash to it.
///
/// It is the word of martlet_abi.h, `enum martlet_slot_word`, so that a table of 65,536 takes
/// 256 KiB here, too. Invariant: every established flow of a slot either goes where ``fallback``
/// says, or has an entry in the flow table; docs/consistency.md.
public struct Slot: Hashable, Sendable {
    public let word: UInt32

    public init(word: UInt32) { self.word = word }

    /// - Parameters:
    ///   - owner: Who gets new flows; nil: nobody can.
    ///   - former: Who has the flows without an entry; nil: the owner.
    ///   - looks: Whether some flows have an entry.
    ///   - pins: Whether flows without an entry get one.
    public init(
        owner: BackendID?, former: BackendID? = nil, looks: Bool = false, pins: Bool = false
    ) {
        word =
            UInt32(owner?.number ?? 0) | UInt32(former?.number ?? 0) << 16
            | (looks ? Self.look : 0) | (pins ? Self.pin : 0)
    }

    private static let look: UInt32 = 1 << 15
    private static let pin: UInt32 = 1 << 31
    private static let number: UInt32 = 0x7fff

    /// Who gets new flows; nil: nobody can.
    public var owner: BackendID? { Self.backend(word & Self.number) }
    /// Who has the flows without an entry; nil: the owner.
    public var former: BackendID? { Self.backend(word >> 16 & Self.number) }
    /// Whether some flows have an entry.
    public var looks: Bool { word & Self.look != 0 }
    /// Whether flows without an entry get one.
    public var pins: Bool { word & Self.pin != 0 }
    /// Who has the flows without an entry.
    public var fallback: BackendID? { former ?? owner }

    private static func backend(_ number: UInt32) -> BackendID? {
        number == 0 ? nil : BackendID(UInt16(number))
    }
}

extension Slot {
    /// How far a change of owners has come.
    public enum Phase: String, Hashable, Sendable, CaseIterable {
        /// Every flow is the owner's; the flow table is not looked at.
        case settled
        /// New flows are the owner's and have an entry; those without are the former owner's.
        case moving
        /// The same, and those without an entry get one.
        case pinning
        /// Every flow that is not the owner's has an entry.
        case pinned
    }

    public var phase: Phase {
        guard looks else { return .settled }
        guard fallback != owner else { return .pinned }
        return pins ? .pinning : .moving
    }
}
