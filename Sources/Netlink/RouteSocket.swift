import CLinux
import Glibc
public import Packets

/// Questions to the kernel about links, addresses, routes and neighbours: rtnetlink(7).
///
/// It asks in the network namespace of the thread that made it, whichever thread uses it later.
/// One request at a time, which is why asking is mutating: an actor owns it, or a function does.
public struct RouteSocket: ~Copyable, Sendable {
    private var socket: RequestSocket

    /// Opens a socket: `socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)`.
    public init() throws(Failure) { socket = try RequestSocket(family: NETLINK_ROUTE) }

    /// Every interface: `RTM_GETLINK`.
    public mutating func links() throws(Failure) -> [LinkState] {
        var request = Request(type: Int(RTM_GETLINK), isDump: true, fixed: ifinfomsg())
        request.append(Int(IFLA_EXT_MASK), integer: UInt32(RTEXT_FILTER_SKIP_STATS))
        return try socket.answers(to: request, "list", "links", read: LinkState.init)
    }

    /// The interface with that name: `RTM_GETLINK`.
    public mutating func link(named name: String) throws(Failure) -> LinkState {
        let cure = "`ip link` lists the interfaces that there are"
        let missing = Failure("find interface", name, code: ENODEV, cure: cure)
        // The kernel would refuse an impossible name in other words.
        guard 1..<Int(IFNAMSIZ) ~= name.utf8.count else { throw missing }
        var request = Request(type: Int(RTM_GETLINK), fixed: ifinfomsg())
        request.append(Int(IFLA_IFNAME), text: name)
        request.append(Int(IFLA_EXT_MASK), integer: UInt32(RTEXT_FILTER_SKIP_STATS))
        do throws(Failure) {
            let links = try socket.answers(
                to: request, "find interface", name, read: LinkState.init)
            guard let link = links.first else { throw missing }
            return link
        } catch {
            throw error.code == ENODEV ? missing : error
        }
    }

    /// Every address of every interface: `RTM_GETADDR`.
    public mutating func addresses() throws(Failure) -> [InterfaceAddress] {
        let request = Request(type: Int(RTM_GETADDR), isDump: true, fixed: ifaddrmsg())
        return try socket.answers(to: request, "list", "addresses", read: InterfaceAddress.init)
    }

    /// Every neighbour that the kernel knows or looks for: `RTM_GETNEIGH`.
    public mutating func neighbours() throws(Failure) -> [Neighbour] {
        let request = Request(type: Int(RTM_GETNEIGH), isDump: true, fixed: ndmsg())
        return try socket.answers(to: request, "list", "neighbours", read: Neighbour.init)
    }

    /// What the kernel knows of one neighbour: `RTM_GETNEIGH`; nil: nothing.
    public mutating func neighbour(
        _ address: IPAddress, on interface: UInt32
    ) throws(Failure) -> Neighbour? {
        var request = Request(type: Int(RTM_GETNEIGH), fixed: fixed(address, interface))
        request.append(Int(NDA_DST), bytes: address.bytes)
        do throws(Failure) {
            return try socket.answers(
                to: request, "find neighbour", "\(address)", read: Neighbour.init
            ).first
        } catch {
            guard error.code == ENOENT else { throw error }
            return nil
        }
    }

    /// What the kernel does with a packet for `destination`: `RTM_GETROUTE`.
    ///
    /// That there is no route is an answer, not a failure.
    public mutating func route(to destination: IPAddress) throws(Failure) -> Route {
        var fixed = rtmsg()
        fixed.rtm_family = familyNumber(destination)
        fixed.rtm_dst_len = UInt8(destination.bytes.count * 8)
        var request = Request(type: Int(RTM_GETROUTE), fixed: fixed)
        request.append(Int(RTA_DST.rawValue), bytes: destination.bytes)
        do throws(Failure) {
            return try socket.answers(
                to: request, "find the route to", "\(destination)", read: Route.init
            ).first ?? .unusable(.missing)
        } catch {
            guard let route = Route(refusal: error) else { throw error }
            return route
        }
    }

    /// Has the kernel find out, or make sure of, the MAC address of `address`.
    ///
    /// As if a packet were sent to it (`RTM_NEWNEIGH` with `NTF_USE`): one that is unknown or
    /// did not answer is asked for now, a stale one within seconds and usable meanwhile, one that
    /// answered lately is left alone. The answer shows in ``neighbours()`` some time later.
    public mutating func resolve(_ address: IPAddress, on interface: UInt32) throws(Failure) {
        // NTF_USE takes its permanence from an entry that the administrator set, and with it the
        // MAC address that he chose.
        if let known = try neighbour(address, on: interface), known.state.isFixed { return }
        var fixed = fixed(address, interface)
        fixed.ndm_flags = UInt8(NTF_USE)
        var request = Request(type: Int(RTM_NEWNEIGH), flags: NLM_F_CREATE, fixed: fixed)
        request.append(Int(NDA_DST), bytes: address.bytes)
        _ = try socket.answers(to: request, "resolve", "\(address)", read: Neighbour.init)
    }

    private func fixed(_ address: IPAddress, _ interface: UInt32) -> ndmsg {
        var fixed = ndmsg()
        fixed.ndm_family = familyNumber(address)
        fixed.ndm_ifindex = Int32(bitPattern: interface)
        return fixed
    }
}

private func familyNumber(_ address: IPAddress) -> UInt8 {
    UInt8(address.family == .v4 ? AF_INET : AF_INET6)
}
