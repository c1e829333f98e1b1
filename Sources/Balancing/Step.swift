public import Packets

/// One change of a plane that is whole by itself.
public enum Step: Hashable, Sendable {
    /// Makes a backend's record, with counters at 0, no flows and a latency of 1. Nothing names it
    /// yet.
    case addBackend(BackendID, PlaneContents.Backend)
    /// Replaces how much a backend can bear. Its flows and its latency stay as they are.
    case setLoad(BackendID, PlaneContents.Load)
    /// Replaces the next hop of a backend.
    case setNextHop(BackendID, NextHop?)
    /// Makes a slot table in which nobody owns anything.
    case addSlots(ServiceID, count: Int)
    /// Changes some slots, each at once.
    case writeSlots(ServiceID, [SlotChange])
    /// Has the turns of round-robin begin again after so many slots; 0: after all. The count of
    /// those that were taken goes on.
    case setTurns(ServiceID, length: Int)
    /// Changes an access list, in the order given.
    case writeAccess(ServiceID, [AccessChange])
    /// Lets packets find the service under these keys, whatever they found there before.
    case setKeys([ServiceKey], PlaneContents.Entry)
    /// Makes VIPs known, or changes their settings.
    case setVIPs([VIP])
    /// Makes VIPs unknown.
    case removeVIPs([IPPrefix])
    /// Lets packets find nothing under these keys any more.
    case removeKeys([ServiceKey])
    /// Removes a slot table that nothing leads to.
    case removeSlots(ServiceID)
    /// Removes what is remembered of flows and clients of these backends. No slot may name them
    /// any more.
    case forgetFlows(of: Set<BackendID>)
    /// Frees a backend's record. Nothing may name it any more.
    case removeBackend(BackendID)
    /// Has answers leave as the VIP's, whatever became of them before.
    case setReturns([Return])
    /// Leaves these answers as they are.
    case removeReturns([ReturnKey])
    /// Makes a table for the flows of an address, and has their answers recognised. No flow is
    /// opened there yet.
    case addNATAddress(NATAddressID, IPAddress)
    /// Changes where flows are opened and found.
    case writeNATShares([NATShareChange])
    /// Removes an address with the table of its flows. No share may name it any more.
    case removeNATAddress(NATAddressID)
    /// Makes interfaces known by which answers can leave, or what has changed of them.
    case setExits([UInt32: Egress])
    /// Has answers by these interfaces sent by the kernel.
    case removeExits([UInt32])
}

/// The number of a slot, and what it is to be.
///
/// Eight bytes: a start with a thousand services has 65 million of them.
public struct SlotChange: Hashable, Sendable {
    private let number: UInt32
    public let to: Slot

    public init(slot: Int, to: Slot) {
        number = UInt32(slot)
        self.to = to
    }

    public var slot: Int { Int(number) }
}

/// A prefix of clients and what becomes of them; nil: it is not in the list any more.
public struct AccessChange: Hashable, Sendable {
    public var prefix: IPPrefix
    public var rule: AccessList.Rule?

    public init(prefix: IPPrefix, rule: AccessList.Rule?) {
        self.prefix = prefix
        self.rule = rule
    }
}
