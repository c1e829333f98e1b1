/// What a network looks like; ``withNetwork(_:isolation:_:)`` makes it.
public struct Topology: Hashable, Sendable {
    /// The machines.
    public var hosts: [Host]
    /// The cables between them.
    public var links: [Link]

    /// Describes a network; every end of a link must be on one of the hosts.
    public init(hosts: [Host], links: [Link]) {
        self.hosts = hosts
        self.links = links
    }

    /// A machine and what is configured on it.
    public struct Host: Hashable, Sendable {
        /// What ``Network/subscript(_:)`` finds it by.
        public var name: String
        /// Whether it forwards packets of others, of both families.
        public var forwards = false
        /// The interfaces that a bridge `br0` connects to one segment; no bridge if empty.
        public var bridged: [String] = []
        /// Its addresses, besides those that the kernel gives by itself.
        public var addresses: [Address] = []
        /// Its routes, besides those that follow from the addresses.
        public var routes: [Route] = []
        /// Files under `/proc/sys/net` and what to write to them.
        public var settings: [Setting] = []

        /// Describes a host without anything.
        public init(_ name: String) { self.name = name }
    }

    /// An address of a host.
    public struct Address: Hashable, Sendable {
        /// The address with the length of its prefix: `192.168.1.10/24`.
        public var prefix: String
        /// The interface that has it.
        public var interface: String

        /// Puts `prefix` on `interface`.
        public init(_ prefix: String, on interface: String) {
            self.prefix = prefix
            self.interface = interface
        }
    }

    /// A route of a host.
    public struct Route: Hashable, Sendable {
        /// Where to: `0.0.0.0/0`.
        public var destination: String
        /// The next hop.
        public var gateway: String
        /// The largest packet to send there, if the interface would carry larger ones.
        public var mtu: Int?

        /// Sends what is for `destination` to `gateway`.
        public init(to destination: String, via gateway: String, mtu: Int? = nil) {
            self.destination = destination
            self.gateway = gateway
            self.mtu = mtu
        }
    }

    /// One of the kernel's network settings.
    public struct Setting: Hashable, Sendable {
        /// The file, relative to `/proc/sys/net`.
        public var path: String
        /// What it shall hold.
        public var value: Int

        /// Writes `value` to `path`.
        public init(_ path: String, _ value: Int) {
            self.path = path
            self.value = value
        }
    }

    /// A cable: a pair of veths.
    public struct Link: Hashable, Sendable {
        /// One end.
        public var one: End
        /// The other end.
        public var other: End
        /// The largest IP packet it carries, in bytes.
        public var mtu: Int

        /// Connects two interfaces, which come to be by that.
        public init(_ one: End, _ other: End, mtu: Int = 1500) {
            self.one = one
            self.other = other
            self.mtu = mtu
        }
    }

    /// An interface of a host.
    public struct End: Hashable, Sendable {
        /// The name of the host.
        public var host: String
        /// The name of the interface, 15 bytes at most.
        public var interface: String

        /// Names an interface of a host.
        public init(_ host: String, _ interface: String) {
            self.host = host
            self.interface = interface
        }
    }

    /// The interfaces that the links give to a host.
    public func ends(of host: String) -> [(interface: String, mtu: Int)] {
        links.flatMap { link in
            [link.one, link.other].filter { $0.host == host }.map { ($0.interface, link.mtu) }
        }
    }
}

/// Names of so many backends: `server-a`, `server-b` and so on.
func serverNames(_ count: Int) -> [String] {
    precondition((1...26).contains(count), "backends are named after the letters")
    return (0..<UInt8(count)).map { "server-\(Character(UnicodeScalar(UInt8(ascii: "a") + $0)))" }
}

/// The VIP of all topologies.
let vip = (v4: "192.168.1.100/32", v6: "fd00:1::100/128")

/// What the balancer of a plain segment sends from.
let natAddress = (v4: "192.168.1.200/32", v6: "fd00:1::200/128")

extension Topology.Host {
    /// Takes packets for the VIP, without telling neighbours that it has it.
    ///
    /// IPv6 needs no setting for that: it answers only for addresses of the interface asked on.
    mutating func serveVIPDirectly() {
        addresses += [.init(vip.v4, on: "lo"), .init(vip.v6, on: "lo")]
        settings += [
            .init("ipv4/conf/all/arp_ignore", 1), .init("ipv4/conf/all/arp_announce", 2),
        ]
    }
}
