import CLinux
import Dispatch
import Glibc
import Synchronization

/// Tells when something about links, addresses, routes or neighbours changes.
///
/// It listens from the moment it is made, in the network namespace of the thread that made it.
/// Make it before the first look at the tables, and nothing falls between.
public struct RouteMonitor: Sendable {
    /// What changed; of several kinds if more than one did since the last element.
    public struct Changes: OptionSet, Hashable, Sendable {
        /// One bit for each kind.
        public let rawValue: UInt8
        /// The kinds with these bits.
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// A link came, went, or changed its state: `RTNLGRP_LINK`.
        public static let links = Changes(rawValue: 1 << 0)
        /// An address of ours: `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV6_IFADDR`.
        public static let addresses = Changes(rawValue: 1 << 1)
        /// A route: `RTNLGRP_IPV4_ROUTE`, `RTNLGRP_IPV6_ROUTE`.
        public static let routes = Changes(rawValue: 1 << 2)
        /// A neighbour was learned, lost, or changed its state: `RTNLGRP_NEIGH`.
        public static let neighbours = Changes(rawValue: 1 << 3)
        /// Messages were lost (`ENOBUFS`): anything may have changed, look at everything again.
        public static let overrun = Changes(rawValue: 1 << 4)
    }

    /// The changes, for one reader.
    ///
    /// While the reader is busy they become one element, so that nothing piles up and no kind is
    /// lost. The socket is closed when the reader's task is cancelled or the stream is dropped;
    /// the stream ends by itself only if the socket breaks.
    public let changes: AsyncStream<Changes>
    private let continuation: AsyncStream<Changes>.Continuation

    /// Has the reader look at everything again.
    public func prompt() { continuation.merge(.overrun) }

    /// Begins to listen.
    public init() throws(Failure) {
        let ear = Ear(socket: try changeSocket())
        let source = DispatchSource.makeReadSource(
            fileDescriptor: ear.socket.number, queue: DispatchQueue(label: "netlink"))
        let (changes, continuation) = AsyncStream.makeStream(
            of: Changes.self, bufferingPolicy: .bufferingNewest(1))
        self.changes = changes
        self.continuation = continuation
        source.setEventHandler {
            let heard = hear(ear.socket)
            continuation.merge(heard.changes)
            if heard.isBroken { continuation.finish() }
        }
        // Holds the socket open until nobody waits for it any more.
        source.setCancelHandler { _ = ear }
        source.activate()
        let handle = Handle(source)
        continuation.onTermination = { _ in handle.cancel() }
    }
}

/// A socket that hears of every change.
func changeSocket() throws(Failure) -> NetlinkSocket {
    let groups = [
        RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
        RTNLGRP_IPV6_ROUTE,
    ]
    return try NetlinkSocket(family: NETLINK_ROUTE, groups: groups.map(\.rawValue))
}

/// Takes in all that waits in the socket.
func hear(_ socket: borrowing NetlinkSocket) -> (changes: RouteMonitor.Changes, isBroken: Bool) {
    var changes: RouteMonitor.Changes = []
    while true {
        switch socket.receive(waiting: false) {
        case .messages(let messages):
            changes.formUnion(.init(of: messages))
        case .malformed, .refused(ENOBUFS): changes.insert(.overrun)
        case .refused(EAGAIN): return (changes, false)
        case .refused: return (changes.union(.overrun), true)
        }
    }
}

/// Owns the socket for as long as one of the source's handlers lives.
private final class Ear: Sendable {
    let socket: NetlinkSocket
    init(socket: consuming NetlinkSocket) { self.socket = socket }
}

/// Ends a source, from whichever thread.
private final class Handle: Sendable {
    private let source: Mutex<any DispatchSourceRead>
    init(_ source: sending any DispatchSourceRead) { self.source = Mutex(source) }
    func cancel() { source.withLock { $0.cancel() } }
}

extension RouteMonitor.Changes {
    /// What the messages are about; what we did not ask to hear of is no change.
    init(of messages: [Message]) {
        self = messages.reduce(into: []) { $0.formUnion(kinds[$1.type] ?? []) }
    }
}

private let kinds: [Int: RouteMonitor.Changes] = [
    Int(RTM_NEWLINK): .links, Int(RTM_DELLINK): .links,
    Int(RTM_NEWADDR): .addresses, Int(RTM_DELADDR): .addresses,
    Int(RTM_NEWROUTE): .routes, Int(RTM_DELROUTE): .routes,
    Int(RTM_NEWNEIGH): .neighbours, Int(RTM_DELNEIGH): .neighbours,
]

extension AsyncStream<RouteMonitor.Changes>.Continuation {
    /// Has the reader see `changes`, together with those that it has not yet taken.
    func merge(_ changes: RouteMonitor.Changes) {
        guard !changes.isEmpty else { return }
        var merged = changes
        // The buffer holds one element; putting one in returns the one that it pushed out.
        while case .dropped(let unread) = yield(merged), !merged.isSuperset(of: unread) {
            merged.formUnion(unread)
        }
    }
}
