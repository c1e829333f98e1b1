import Balancing

/// How much one configuration can hold.
public enum Limits {
    /// Bytes of a file: 100 for each of the most backends, and room to spare.
    public static let fileSize = 4 << 20
    /// The data path has 2¹⁴ numbers for services; 0 is none.
    public static let services = 16383
    /// Backends of one service: with 65,536 slots each still gets 16.
    public static let backendsOfService = SlotTable.memberLimit
    /// A slot word names a backend with 15 bits; half of the numbers are left free, so that a
    /// configuration that replaces every backend finds records for the new ones.
    public static let backends = 16383
    /// Ports of the services of one family, any port counting as one: each has an entry in the data
    /// path, of which there are as many.
    public static let ports = 1 << 16
    /// Prefixes in all access lists; half of what the data path holds, so that a list can be
    /// changed without a moment in which it lacks something.
    public static let accessPrefixes = 1 << 15
    /// Addresses that `full-nat` sends from: the data path numbers them with 8 bits; 0 is none.
    public static let natAddresses = 255
    /// Ports of backends of `nat` services, whose answers become the VIP's: each has an entry in
    /// the data path, of which there are as many.
    public static let natReturns = 1 << 16
    /// Open flows that a backend may be limited to: all NAT addresses together bear fewer, and the
    /// flow table holds fewer still.
    public static let connections: UInt32 = 1 << 24
    /// How long a flow is remembered without a packet: the data path tells times of 9.8 h apart.
    public static let idle = Duration.seconds(8 * 3600)
    /// The same, at least: the data path's clock for that goes on every 8.6 s.
    public static let leastIdle = Duration.seconds(10)
    /// The data path keeps a record for each interface in one of 256 places; 0 is none.
    public static let interfaces = 255
    /// Bytes of an interface's name: `IFNAMSIZ` less the final zero.
    public static let interfaceName = 15
    /// Letters of the name of a service or a backend: a DNS label's (RFC 1035 §2.3.4).
    public static let name = 63
    /// Bytes of a path or a host: the request of a health check stays in one packet.
    public static let requestText = 1024
    /// Bytes of what one order over the API says of a service or a backend.
    public static let orderSize = 64 << 10
    /// Bytes of all that is ordered over the API together: as much as a file may have.
    public static let ordersSize = fileSize
    /// Services that are ordered over the API: each is a text of its own to be read with every
    /// change; who has more has a file.
    public static let orderedServices = 256
    /// Backends, and weights of backends, that are ordered over the API; for the same reason.
    public static let orderedBackends = 1024
}
