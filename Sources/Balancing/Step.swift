public import Packets

/// One change of a plane that is whole by itself.
public enum Step: Hashable, Sendable {
    /// Makes a backend's record, with counters at 0. Nothing names it yet.
    case addBackend(BackendID, PlaneContents.Backend)
    /// Replaces the next hop of a backend.
    case setNextHop(BackendID, NextHop?)
    /// Makes a slot table in which nobody owns anything.
    case addSlots(ServiceID, count: Int)
    /// Changes the owners of some slots.
    case writeSlots(ServiceID, [SlotChange])
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

/// A slot and its new owner; nil: nobody can serve.
public struct SlotChange: Hashable, Sendable {
    public var slot: Int
    public var owner: BackendID?

    public init(slot: Int, owner: BackendID?) {
        self.slot = slot
        self.owner = owner
    }
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
