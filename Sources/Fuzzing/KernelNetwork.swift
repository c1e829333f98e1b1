import Glibc
import Lab
import Model
import Packets

/// A network of the thread's own in which the kernel has routes to clients, and what the model is
/// told of them: a known neighbour, an unknown one, one behind a gateway with a small MTU, one by
/// an interface that is no egress, and one that is a broadcast address.
struct KernelNetwork {
    let kernel: Kernel
    /// The interface that is an egress.
    let near: UInt32

    static let neighbour: [UInt8] = [2, 0, 0, 0, 0, 0xC1]
    private static let mac = "02:00:00:00:00:c1"
    private static let thinMTU = 1280
    private static let gatewayMTU = 700

    /// Makes it, and enters it with the calling thread.
    init() throws {
        try NetworkNamespace.enterNew(endingWithin: 0)
        try NetworkNamespace.addPair("near", "near-peer")
        try NetworkNamespace.addPair("thin", "thin-peer")
        try NetworkNamespace.ip("link set thin mtu \(Self.thinMTU)")
        try NetworkNamespace.addAddresses("near", "198.51.100.254/24", "2001:db8:2::fe/64")
        let (v4, v6) = (Places.clients4, Places.clients6)
        try NetworkNamespace.batch([
            "route add \(v4[3]) via \(v4[0]) dev near mtu lock \(Self.gatewayMTU)",
            "route add \(v4[4]) dev thin",
            "route add \(v6[2]) dev thin",
            "neigh add \(v4[0]) lladdr \(Self.mac) dev near nud permanent",
            "neigh add \(v4[4]) lladdr \(Self.mac) dev thin nud permanent",
            "neigh add \(v6[0]) lladdr \(Self.mac) dev near nud permanent",
            "neigh add \(v6[2]) lladdr \(Self.mac) dev thin nud permanent",
        ])
        try Self.forward(true)
        near = unsafe if_nametoindex("near")
        kernel = Self.kernel(near: near, thin: unsafe if_nametoindex("thin"))
    }

    /// Whether packets of others are forwarded.
    static func forward(_ isOn: Bool) throws {
        for family in ["ipv4", "ipv6"] {
            try NetworkNamespace.set("\(family)/conf/all/forwarding", to: isOn ? "1" : "0")
        }
    }

    private static func kernel(near: UInt32, thin: UInt32) -> Kernel {
        let (v4, v6) = (Places.clients4, Places.clients6)
        let segment = Places.v6(0x2001_0db8_0002 << 80)
        var kernel = Kernel()
        kernel.routes = [
            .init(prefix: prefix(Places.v4(0xC633_6400), 96 + 24), interface: near),
            .init(prefix: prefix(Places.v4(0xC633_64FE), 128), interface: nil),
            .init(prefix: prefix(Places.v4(0xC633_64FF), 128), interface: nil),
            .init(
                prefix: prefix(v4[3], 128), interface: near, gateway: v4[0], mtu: gatewayMTU),
            .init(prefix: prefix(v4[4], 128), interface: thin, mtu: thinMTU),
            .init(prefix: prefix(segment, 64), interface: near),
            // RFC 4291 §2.6.1: the routers of a subnet.
            .init(prefix: prefix(segment, 128), interface: nil),
            .init(prefix: prefix(Places.v6(0x2001_0db8_0002 << 80 | 0xfe), 128), interface: nil),
            .init(prefix: prefix(v6[2], 128), interface: thin, mtu: thinMTU),
            .init(prefix: prefix(Places.v6(0xfe80 << 112), 64), interface: near),
            .init(prefix: prefix(Places.v6(0xff00 << 112), 8), interface: nil),
        ]
        for client in [v4[0], v4[4], v6[0], v6[2]] { kernel.neighbours[client] = neighbour }
        return kernel
    }

    private static func prefix(_ address: IPAddress, _ length: Int) -> Prefix {
        Prefix(bits: mapped(address), length: length)
    }
}
