import CLinux
import Glibc
public import Packets

/// What the kernel does with a packet for one destination.
public enum Route: Hashable, Sendable {
    /// It leaves by `interface`, towards `gateway`; nil: the destination is itself on the link.
    ///
    /// `source` is the address that the kernel would send from. A gateway may be of the other
    /// family than the destination. `mtu` is the route's own, which somebody gave it or which a
    /// router on the way told the kernel: what a larger packet does not get through; nil: as large
    /// as the interface takes.
    case unicast(
        interface: UInt32, gateway: IPAddress?, source: IPAddress?, mtu: UInt32? = nil)
    /// It does not leave for a single neighbour.
    case unusable(Obstacle)

    /// Why a packet for the destination does not leave for a single neighbour.
    public enum Obstacle: Hashable, Sendable, CaseIterable {
        /// No route matches.
        case missing
        /// The destination is an address of this machine.
        case local
        case broadcast
        case multicast
        case anycast
        /// A route drops it and tells nobody.
        case blackhole
        /// A route refuses it: host unreachable.
        case unreachable
        /// A route refuses it: prohibited.
        case prohibited
        /// A kind of route that we do not know.
        case unknown
    }
}

extension Route {
    /// Reads `RTM_NEWROUTE`; nil for any other message.
    init?(_ message: Message) throws(Malformed) {
        guard message.type == Int(RTM_NEWROUTE) else { return nil }
        let fixed = try message.fixed(rtmsg.self)
        guard Int(fixed.rtm_type) == Int(RTN_UNICAST) else {
            self = .unusable(obstacles[Int(fixed.rtm_type)] ?? .unknown)
            return
        }
        let attributes = try message.attributes(after: rtmsg.self)
        guard let interface = try attributes.integer(Int(RTA_OIF.rawValue), as: UInt32.self)
        else { throw Malformed(reason: "a route has no interface") }
        // RTA_VIA, a gateway of the other family, begins with two bytes that name the family.
        let via = attributes.bytes(Int(RTA_VIA.rawValue))?.dropFirst(2)
        let gateway = attributes.bytes(Int(RTA_GATEWAY.rawValue)) ?? via
        let source = attributes.bytes(Int(RTA_PREFSRC.rawValue))
        let mtu = try attributes.nested(Int(RTA_METRICS.rawValue))?
            .integer(Int(RTAX_MTU), as: UInt32.self)
        self = .unicast(
            interface: interface, gateway: try address(gateway), source: try address(source),
            mtu: mtu == 0 ? nil : mtu)
    }

    /// What the kernel says, by a refusal, when it is asked for a route; nil: something else.
    ///
    /// Routes that lead nowhere answer with the error that a sender would get. A request that is
    /// wrong gets `EINVAL`, too, but then the kernel says in words what is wrong.
    init?(refusal: Failure) {
        guard refusal.kernelText == nil, let obstacle = refusals[refusal.code]
        else { return nil }
        self = .unusable(obstacle)
    }
}

private func address(_ bytes: ArraySlice<UInt8>?) throws(Malformed) -> IPAddress? {
    guard let bytes else { return nil }
    if let address = IPAddress(bytes: bytes) { return address }
    throw Malformed(reason: "a route has an address of \(bytes.count) bytes")
}

private let obstacles: [Int: Route.Obstacle] = [
    Int(RTN_LOCAL): .local, Int(RTN_BROADCAST): .broadcast, Int(RTN_MULTICAST): .multicast,
    Int(RTN_ANYCAST): .anycast, Int(RTN_BLACKHOLE): .blackhole,
    Int(RTN_UNREACHABLE): .unreachable, Int(RTN_PROHIBIT): .prohibited, Int(RTN_THROW): .missing,
]

private let refusals: [Int32: Route.Obstacle] = [
    ENETUNREACH: .missing, EHOSTUNREACH: .unreachable, EACCES: .prohibited, EINVAL: .blackhole,
]
