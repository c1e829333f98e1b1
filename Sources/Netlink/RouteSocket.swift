import CLinux
import Glibc
public import Packets

/// Questions to the kernel about links, addresses, routes and neighbours: rtnetlink(7).
///
/// It asks in the network namespace of the thread that made it.
public struct RouteSocket: ~Copyable, Sendable {
    private let socket: NetlinkSocket

    public init() throws(Failure) { socket = try NetlinkSocket(family: NETLINK_ROUTE) }

    /// Every interface: `RTM_GETLINK`.
    public borrowing func links() throws(Failure) -> [LinkState] {
        let request = Request(
            type: Int(RTM_GETLINK), flags: dump, sequence: 1, fixed: ifinfomsg())
        return try answers(to: request, for: "list links").compactMap(LinkState.init)
    }

    /// Every address of every interface: `RTM_GETADDR`.
    public borrowing func addresses() throws(Failure) -> [InterfaceAddress] {
        let request = Request(
            type: Int(RTM_GETADDR), flags: dump, sequence: 1, fixed: ifaddrmsg())
        return try answers(to: request, for: "list addresses").compactMap(InterfaceAddress.init)
    }

    /// Every neighbour that the kernel knows or looks for: `RTM_GETNEIGH`.
    public borrowing func neighbours() throws(Failure) -> [Neighbour] {
        let request = Request(type: Int(RTM_GETNEIGH), flags: dump, sequence: 1, fixed: ndmsg())
        return try answers(to: request, for: "list neighbours").compactMap(Neighbour.init)
    }

    /// The way the kernel would send to `destination`: `RTM_GETROUTE`; nil: it knows none.
    public borrowing func route(to destination: IPAddress) throws(Failure) -> Route? {
        var fixed = rtmsg()
        fixed.rtm_family = familyNumber(destination)
        fixed.rtm_dst_len = UInt8(destination.bytes.count * 8)
        var request = Request(
            type: Int(RTM_GETROUTE), flags: Int(NLM_F_REQUEST), sequence: 1, fixed: fixed)
        request.append(attribute: Int(RTA_DST.rawValue), destination.bytes)
        do throws(Failure) {
            return try answers(to: request, for: "find the route to \(destination)")
                .compactMap(Route.init).first
        } catch {
            guard noRoute.contains(error.code) else { throw error }
            return nil
        }
    }

    /// Asks the kernel to find out, or to make sure of, the MAC address of `address`.
    ///
    /// `RTM_NEWNEIGH` with `NTF_USE`: as if a packet had been sent to it. An entry that is known
    /// stays usable meanwhile, a permanent one is not touched.
    public borrowing func resolve(_ address: IPAddress, on interface: UInt32) throws(Failure) {
        var fixed = ndmsg()
        fixed.ndm_family = familyNumber(address)
        fixed.ndm_ifindex = Int32(bitPattern: interface)
        fixed.ndm_flags = UInt8(NTF_USE)
        let flags = Int(NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE)
        var request = Request(type: Int(RTM_NEWNEIGH), flags: flags, sequence: 1, fixed: fixed)
        request.append(attribute: Int(NDA_DST), address.bytes)
        _ = try answers(to: request, for: "resolve \(address)")
    }

    private var dump: Int { Int(NLM_F_REQUEST | NLM_F_DUMP) }

    /// Sends `request` and collects the answers; starts again if the table changed meanwhile.
    private borrowing func answers(
        to request: Request, for operation: String
    ) throws(Failure) -> [Message] {
        for _ in 0..<10 {
            try socket.send(request, for: operation)
            if let answers = try collect(request, for: operation) { return answers }
        }
        throw Failure(operation, because: "the table changes faster than it can be read")
    }

    private borrowing func collect(
        _ request: Request, for operation: String
    ) throws(Failure) -> [Message]? {
        let isDump = Message.split(request.bytes)?.first.map { $0.flags & Int(NLM_F_DUMP) != 0 }
        var answers: [Message] = []
        var wasInterrupted = false
        while true {
            for message in try socket.receive(for: operation) {
                wasInterrupted = wasInterrupted || message.flags & Int(NLM_F_DUMP_INTR) != 0
                switch message.type {
                case Int(NLMSG_ERROR):
                    let code = -(message.fixed(Int32.self) ?? -EIO)
                    guard code == 0 else { throw Failure(operation, code: code) }
                    return answers
                case Int(NLMSG_DONE):
                    return wasInterrupted ? nil : answers
                default:
                    answers.append(message)
                }
            }
            if isDump == false, !answers.isEmpty { return answers }
        }
    }
}

private let noRoute: Set<Int32> = [ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, ESRCH]

private func familyNumber(_ address: IPAddress) -> UInt8 {
    UInt8(address.family == .v4 ? AF_INET : AF_INET6)
}
