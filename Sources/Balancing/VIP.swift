public import Packets

/// A virtual IP, one address or a block of them, and what becomes of packets for it that are no
/// service's.
public struct VIP: Hashable, Sendable {
    /// Its addresses. The first of them stands for all in the keys of the services.
    public var prefix: IPPrefix
    public var settings: Settings

    public init(_ prefix: IPPrefix, settings: Settings = Settings()) {
        self.prefix = prefix
        self.settings = settings
    }

    /// A single address, with the settings that a VIP has when nobody says otherwise.
    public init(_ address: IPAddress) { self.init(IPPrefix(address)) }

    /// What becomes of packets for a VIP that are no service's.
    public struct Settings: Hashable, Sendable {
        public var ping: Ping
        public var otherPorts: OtherPorts

        public init(ping: Ping = .answer, otherPorts: OtherPorts = .pass) {
            self.ping = ping
            self.otherPorts = otherPorts
        }
    }

    /// Who answers an echo request.
    public enum Ping: String, Hashable, Sendable, CaseIterable {
        /// The data path.
        case answer
        /// The kernel, if it has the address.
        case kernel
    }

    /// What becomes of packets for a port that no service has.
    public enum OtherPorts: String, Hashable, Sendable, CaseIterable {
        /// They are left to the kernel.
        case pass
        case drop
    }
}

/// The ports of a service: some, or all that no other service has.
public struct Ports: Hashable, Sendable {
    /// In ascending order, without overlap; nil: any port.
    public let ranges: [ClosedRange<UInt16>]?

    /// Any port that no other service has.
    public static let any = Ports(ranges: nil)

    private init(ranges: [ClosedRange<UInt16>]?) { self.ranges = ranges }

    /// One port.
    public init(_ port: UInt16) { self.init(ranges: [port...port]) }

    /// These ports, at least one; a port may be in several of the ranges.
    public init(_ ranges: [ClosedRange<UInt16>]) {
        precondition(!ranges.isEmpty, "a service has a port")
        var merged: [ClosedRange<UInt16>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = merged.last, UInt32(range.lowerBound) <= UInt32(last.upperBound) + 1 {
                merged[merged.count - 1] =
                    last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        self.init(ranges: merged)
    }

    /// The port, if it is exactly one.
    public var single: UInt16? {
        guard let range = ranges?.first, ranges?.count == 1, range.count == 1 else { return nil }
        return range.lowerBound
    }

    /// The ports that both have; nil if there are none. Any port is any that the other has not.
    public func common(with other: Ports) -> Ports? {
        guard let ranges, let others = other.ranges else { return self == other ? .any : nil }
        let common = ranges.flatMap { range in
            others.filter { $0.overlaps(range) }.map { $0.clamped(to: range) }
        }
        return common.isEmpty ? nil : Ports(common)
    }

    /// How many keys the data path needs for them; any port is one.
    public var count: Int { ranges.map { $0.reduce(0) { $0 + $1.count } } ?? 1 }
}

extension Ports: CustomStringConvertible {
    /// `80`, `80,443,8000-8100`, `any`
    public var description: String {
        guard let ranges else { return "any" }
        return ranges.map { range in
            range.count == 1
                ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
        }.joined(separator: ",")
    }
}

/// One of the things that clients address: what the data path looks for.
public struct ServiceKey: Hashable, Sendable {
    /// The virtual IP; the first of its addresses, if it has several.
    public let vip: IPAddress
    /// The port in the order of this machine; nil for any port.
    public let port: UInt16?
    public let transport: Transport

    public init(vip: IPAddress, port: UInt16?, transport: Transport) {
        self.vip = vip
        self.port = port
        self.transport = transport
    }
}

extension ServiceKey: Comparable {
    public static func < (left: Self, right: Self) -> Bool {
        (left.vip, left.port ?? 0, left.transport.rawValue)
            < (right.vip, right.port ?? 0, right.transport.rawValue)
    }
}

/// What clients address, and so what tells one service from another.
public struct Frontend: Hashable, Sendable {
    public var vip: IPPrefix
    public var ports: Ports
    public var transport: Transport

    public init(vip: IPPrefix, ports: Ports, transport: Transport) {
        self.vip = vip
        self.ports = ports
        self.transport = transport
    }

    /// A key for each port, in ascending order.
    public var keys: [ServiceKey] {
        guard let ranges = ports.ranges else {
            return [ServiceKey(vip: vip.base, port: nil, transport: transport)]
        }
        return ranges.joined().map { ServiceKey(vip: vip.base, port: $0, transport: transport) }
    }
}

/// By the first key: an order that every node agrees on.
extension Frontend: Comparable {
    public static func < (left: Self, right: Self) -> Bool {
        let order = { (frontend: Frontend) in
            (
                frontend.vip, frontend.ports.ranges?.first?.lowerBound ?? 0,
                frontend.transport.rawValue
            )
        }
        return order(left) < order(right)
    }
}

extension Frontend: CustomStringConvertible {
    /// `192.168.1.100:80/tcp`, `203.0.113.0/28:80,8000-8100/tcp`, `[2001:db8::1]:any/udp`
    public var description: String {
        let host = vip.family == .v4 ? "\(vip)" : "[\(vip)]"
        return "\(host):\(ports)/\(transport.name)"
    }
}
