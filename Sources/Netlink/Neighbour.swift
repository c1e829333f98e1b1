import CLinux
public import Packets

/// What the kernel knows of an address on a link.
public struct Neighbour: Hashable, Sendable {
    /// The kernel's number of the interface.
    public var interface: UInt32
    /// The address that it has, or would have.
    public var address: IPAddress
    /// Nil while it is not known.
    public var mac: MACAddress?
    /// How far the kernel has got with it.
    public var state: State

    /// A neighbour as the kernel would tell it.
    public init(interface: UInt32, address: IPAddress, mac: MACAddress?, state: State) {
        self.interface = interface
        self.address = address
        self.mac = mac
        self.state = state
    }

    /// The `NUD_` states of rtnetlink(7).
    public enum State: Hashable, Sendable, CaseIterable {
        /// Nothing is known and nobody has asked.
        case none
        /// It is being asked for and has not answered yet.
        case incomplete
        /// It answered lately.
        case reachable
        /// It has not been heard of for a while; its MAC address is used until somebody asks.
        case stale
        /// It is in use, and will be asked soon whether its MAC address is still right.
        case delay
        /// It is being asked whether its MAC address is still right.
        case probe
        /// It did not answer.
        case failed
        /// The link needs no resolution.
        case noResolution
        /// Set by the administrator.
        case permanent

        /// Whether a MAC address that goes with the state is good for sending: `NUD_VALID`.
        public var isValid: Bool {
            switch self {
            case .reachable, .stale, .delay, .probe, .noResolution, .permanent: true
            case .none, .incomplete, .failed: false
            }
        }

        /// Whether the kernel never asks the neighbour itself.
        var isFixed: Bool { self == .permanent || self == .noResolution }
    }
}

extension Neighbour {
    /// Reads `RTM_NEWNEIGH`; nil for any other message and for any other family than IP's.
    init?(_ message: Message) throws(Malformed) {
        guard message.type == Int(RTM_NEWNEIGH) else { return nil }
        let fixed = try message.fixed(ndmsg.self)
        let attributes = try message.attributes(after: ndmsg.self)
        guard let bytes = attributes.bytes(Int(NDA_DST)), let address = IPAddress(bytes: bytes)
        else { return nil }
        guard let state = states[Int32(fixed.ndm_state)] else {
            throw Malformed(reason: "neighbour \(address) is in state \(fixed.ndm_state)")
        }
        self.init(
            interface: UInt32(bitPattern: fixed.ndm_ifindex), address: address,
            mac: attributes.bytes(Int(NDA_LLADDR)).flatMap { MACAddress(bytes: $0) },
            state: state)
    }
}

private let states: [Int32: Neighbour.State] = [
    NUD_NONE: .none, NUD_INCOMPLETE: .incomplete, NUD_REACHABLE: .reachable, NUD_STALE: .stale,
    NUD_DELAY: .delay, NUD_PROBE: .probe, NUD_FAILED: .failed, NUD_NOARP: .noResolution,
    NUD_PERMANENT: .permanent,
]
