public import Packets

/// What the data path knows: its tables as values.
///
/// Numbers stand as the program has them: the structs of martlet_abi.h with their fields in the
/// order of this machine.
public struct Tables: Sendable {
    public var services: [ServiceKey: Service] = [:]
    public var vips: [VIP] = []
    /// The bits of `vip_filter` that are set.
    public var filter: Set<Int> = []
    public var access: [AccessRule] = []
    /// By the service's id.
    public var slots: [UInt32: [UInt32]] = [:]
    /// By the backend's id.
    public var backends: [UInt32: Backend] = [:]
    public var egresses: [UInt32: Egress] = [:]
    public var fragments: [FragmentKey: Fragment] = [:]
    /// The numbers of egresses by the kernel's interfaces.
    public var egressNumbers: [UInt32: UInt32] = [:]
    public var nat = NAT()
    /// What the kernel would do with packets of others.
    public var kernel = Kernel()
    public var hashKey: (UInt64, UInt64) = (0, 0)
    public var repliesAreRedirected = false
    /// The flows that are remembered: buckets of eight words; one that is missing is empty.
    public var flows: [UInt32: [UInt64]] = [:]
    /// The number of buckets in use, less one.
    public var flowMask: UInt32 = 0
    /// Of round-robin, by the service's id.
    public var turns: [UInt32: Turns] = [:]
    /// By the backend's id.
    public var loads: [UInt32: Load] = [:]
    /// No new flow is remembered.
    public var isFrozen = false

    public init() {}

    /// What a client addresses; port 0: any.
    public struct ServiceKey: Hashable, Sendable {
        public var address: IPAddress
        public var port: UInt16
        public var transport: UInt8

        public init(address: IPAddress, port: UInt16, transport: UInt8) {
            self.address = address
            self.port = port
            self.transport = transport
        }
    }

    public struct Service: Hashable, Sendable {
        public var id: UInt32
        public var hasAccessList: Bool
        public var deniesOthers: Bool
        public var isFullNAT: Bool
        /// Every flow is remembered.
        public var tracks: Bool
        /// A client keeps to one backend.
        public var hasClientAffinity: Bool
        public var isRoundRobin: Bool
        public var isLeastCost: Bool
        public var slotMask: UInt32

        public init(
            id: UInt32, hasAccessList: Bool, deniesOthers: Bool, isFullNAT: Bool = false,
            tracks: Bool = false, hasClientAffinity: Bool = false, isRoundRobin: Bool = false,
            isLeastCost: Bool = false, slotMask: UInt32
        ) {
            self.id = id
            self.hasAccessList = hasAccessList
            self.deniesOthers = deniesOthers
            self.isFullNAT = isFullNAT
            self.tracks = tracks
            self.hasClientAffinity = hasClientAffinity
            self.isRoundRobin = isRoundRobin
            self.isLeastCost = isLeastCost
            self.slotMask = slotMask
        }
    }

    /// A VIP: a prefix of addresses, those of IPv4 mapped into IPv6.
    public struct VIP: Hashable, Sendable {
        public var prefix: Prefix
        public var base: IPAddress
        public var answersEcho: Bool
        public var dropsOthers: Bool

        public init(prefix: Prefix, base: IPAddress, answersEcho: Bool, dropsOthers: Bool) {
            self.prefix = prefix
            self.base = base
            self.answersEcho = answersEcho
            self.dropsOthers = dropsOthers
        }
    }

    public struct AccessRule: Hashable, Sendable {
        public var service: UInt32
        public var prefix: Prefix
        public var isAllowed: Bool

        public init(service: UInt32, prefix: Prefix, isAllowed: Bool) {
            self.service = service
            self.prefix = prefix
            self.isAllowed = isAllowed
        }
    }

    public struct Backend: Hashable, Sendable {
        public var service: UInt32
        public var forwarding: UInt32
        public var address: IPAddress
        public var source: IPAddress
        /// Bits of the last word of `source` that the hash fills.
        public var sourceEntropy: UInt32
        public var tunnelPort: UInt16
        /// Of the NAT modes; 0: the service's.
        public var port: UInt16
        /// Of the route there; 0: no less than the egress carries.
        public var mtu: Int
        public var neighbour: [UInt8]
        /// 0: the next hop is not known.
        public var egress: UInt32

        public init(
            service: UInt32, forwarding: UInt32, address: IPAddress, source: IPAddress,
            sourceEntropy: UInt32, tunnelPort: UInt16, port: UInt16 = 0, mtu: Int = 0,
            neighbour: [UInt8], egress: UInt32
        ) {
            self.service = service
            self.forwarding = forwarding
            self.address = address
            self.source = source
            self.sourceEntropy = sourceEntropy
            self.tunnelPort = tunnelPort
            self.port = port
            self.mtu = mtu
            self.neighbour = neighbour
            self.egress = egress
        }
    }

    public struct Egress: Hashable, Sendable {
        public var interface: UInt32
        public var mtu: Int
        public var address: [UInt8]
        /// From the outside in.
        public var tags: [Tag]
        public var isRedirectedBack: Bool

        public init(
            interface: UInt32, mtu: Int, address: [UInt8], tags: [Tag], isRedirectedBack: Bool
        ) {
            self.interface = interface
            self.mtu = mtu
            self.address = address
            self.tags = tags
            self.isRedirectedBack = isRedirectedBack
        }
    }

    /// How far round-robin has come, and after how many slots its order begins again; 0: all.
    public struct Turns: Hashable, Sendable {
        public var taken: UInt64
        public var length: UInt32

        public init(taken: UInt64, length: UInt32) {
            self.taken = taken
            self.length = length
        }
    }

    /// What a backend has to do.
    public struct Load: Hashable, Sendable {
        /// Open ones; what is below 0 counts as 0.
        public var flows: UInt32
        /// Of flows; 0: none.
        public var limit: UInt32
        /// In microseconds; 0 counts as 1.
        public var latency: UInt32
        /// 0 counts as 1.
        public var weight: UInt16
        /// No client has affinity to it any more.
        public var isClosed: Bool
        /// Its flows of `full-nat` go on no more.
        public var isLost: Bool

        public init(
            flows: UInt32 = 0, limit: UInt32 = 0, latency: UInt32 = 1, weight: UInt16 = 1,
            isClosed: Bool = false, isLost: Bool = false
        ) {
            self.isLost = isLost
            self.flows = flows
            self.limit = limit
            self.latency = latency
            self.weight = weight
            self.isClosed = isClosed
        }
    }

    public struct FragmentKey: Hashable, Sendable {
        public var source: IPAddress
        public var destination: IPAddress
        public var identification: UInt32
        public var transport: UInt8
    }

    /// What a first fragment leaves behind: where it went, or, of an answer, from which VIP.
    public struct Fragment: Hashable, Sendable {
        public var service: UInt32 = 0
        public var backend: UInt32 = 0
        /// Of the flow; of an answer: the tag of its NAT flow.
        public var hash: UInt64 = 0
        public var place: NAT.Place?
        /// When, in units of 2^30 ns.
        public var left: UInt32 = 0
        public var vip: IPAddress?
    }
}

extension Tables {
    /// Changes what a packet with this outcome has changed.
    public mutating func apply(_ outcome: Outcome) {
        if let note = outcome.note { fragments[note.key] = note.value }
        if let change = outcome.flowChange { nat.flows[change.place] = change.flow }
        for (place, word) in outcome.flowWords {
            flows[place.bucket, default: Array(repeating: 0, count: 8)][place.lane] = word
        }
        for (backend, change) in outcome.loadChanges {
            loads[backend, default: Load()].flows &+= UInt32(truncatingIfNeeded: change)
        }
        if outcome.takesTurn, let service = outcome.service {
            turns[service, default: Turns(taken: 0, length: 0)].taken &+= 1
        }
    }
}

/// A VLAN tag: IEEE 802.1Q §9.
public struct Tag: Hashable, Sendable {
    public var type: UInt16
    public var control: UInt16

    public init(type: UInt16, control: UInt16) {
        self.type = type
        self.control = control
    }

    var bytes: [UInt8] { big(type) + big(control) }
}

/// The first `length` of 128 bits; IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
public struct Prefix: Hashable, Sendable {
    public var bits: UInt128
    public var length: Int

    public init(bits: UInt128, length: Int) {
        self.bits = bits
        self.length = length
    }

    package func covers(_ address: IPAddress) -> Bool {
        length == 0 || (mapped(address) ^ bits) >> UInt128(128 - length) == 0
    }
}

/// The address as prefixes have it.
public func mapped(_ address: IPAddress) -> UInt128 {
    switch address {
    case .v4(let address): 0xffff << 32 | UInt128(address.number)
    case .v6(let address): address.number
    }
}

/// Which bit of `vip_filter` stands for the address: its 32-bit words, as a little-endian machine
/// loads them, are folded together and multiplied (Knuth 6.4).
public func filterBit(of address: IPAddress) -> Int {
    let fold = words(of: address).reduce(0, ^)
    return Int((fold &* 0x9e37_79b1) >> 16)
}

/// The address as little-endian machines load it, 32 bits at a time.
func words(of address: IPAddress) -> [UInt32] {
    let bytes = address.bytes
    return stride(from: 0, to: bytes.count, by: 4).map { at in
        (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
    }
}

/// The bytes of a number as the network orders them.
package func big(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 255)] }
func big(_ number: UInt32) -> [UInt8] {
    big(UInt16(number >> 16)) + big(UInt16(truncatingIfNeeded: number))
}
