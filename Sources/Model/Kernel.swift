public import Packets

/// The part of the kernel's routing that `bpf_fib_lookup` shows.
public struct Kernel: Sendable {
    public var forwards = true
    public var routes: [Route] = []
    /// Those whose MAC address is known.
    public var neighbours: [IPAddress: [UInt8]] = [:]

    public init() {}

    /// A route, of which the one with the longest prefix is taken.
    public struct Route: Hashable, Sendable {
        public var prefix: Prefix
        /// Nil: packets are not forwarded.
        public var interface: UInt32?
        /// Nil: the destination itself is a neighbour.
        public var gateway: IPAddress?
        public var mtu: Int

        public init(
            prefix: Prefix, interface: UInt32?, gateway: IPAddress? = nil, mtu: Int = 1500
        ) {
            self.prefix = prefix
            self.interface = interface
            self.gateway = gateway
            self.mtu = mtu
        }
    }

    /// What it says of a packet.
    enum Way {
        case neighbour([UInt8], interface: UInt32)
        /// It has to ask for the neighbour's MAC address first.
        case unresolved
        case tooBig(mtu: Int)
        case notForwarded
        case forwardingIsOff
    }

    func way(to address: IPAddress, bytes: Int) -> Way {
        guard forwards else { return .forwardingIsOff }
        let route = routes.filter { $0.prefix.covers(address) }
            .max { $0.prefix.length < $1.prefix.length }
        guard let route, let interface = route.interface else { return .notForwarded }
        if bytes > route.mtu { return .tooBig(mtu: route.mtu) }
        guard let neighbour = neighbours[route.gateway ?? address] else { return .unresolved }
        return .neighbour(neighbour, interface: interface)
    }
}
