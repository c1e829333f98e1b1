public import Packets

/// How packets are carried to the backends of a service, where the forwarding mode is a tunnel.
public struct Tunnel: Hashable, Sendable {
    /// The UDP port on which the backends take packets out of GUE; nil with other modes.
    public var port: UInt16?
    /// The outer source addresses, at most one prefix of each family.
    ///
    /// The bits beyond the prefix, of IPv6 at most the last 32, come from the flow's hash, so that
    /// a receiver spreads flows over its queues. Where there is none of the backend's family, it
    /// is the address that the kernel would send from.
    public var sources: [IPPrefix]

    public init(port: UInt16? = nil, sources: [IPPrefix] = []) {
        self.port = port
        self.sources = sources
    }

    /// The port that the drafts of GUE name, and that `martlet decapsulate` listens to.
    public static let standardPort: UInt16 = 6080

    /// From where packets to `backend` are sent; nil: from the kernel's address.
    public func source(towards backend: IPAddress) -> IPPrefix? {
        sources.first { $0.family == backend.family }
    }
}

extension IPPrefix {
    /// The bits of the last 32 that differ among its addresses.
    var entropy: UInt32 { hostBits >= 32 ? .max : (1 << UInt32(hostBits)) - 1 }
}
