public import Packets

/// Where metrics can be read over TCP: `9464`, `192.0.2.1:9464`, `[2001:db8::1]:9464`.
public struct MetricsAddress: Hashable, Sendable, LosslessStringConvertible {
    public let address: IPAddress
    /// 0: one that is free.
    public let port: UInt16

    /// A port alone is one of this machine's own: nobody else gets there.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else {
            self.init(port: text[...], at: "127.0.0.1")
            return
        }
        var host = text[..<colon]
        if host.first == "[", host.last == "]" {
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { return nil }
        } else if host.contains(":") {
            // Of `::1:9464` nobody knows where the address ends.
            return nil
        }
        self.init(port: text[text.index(after: colon)...], at: String(host))
    }

    private init?(port: Substring, at host: String) {
        guard !port.isEmpty, port.allSatisfy(\.isNumber), let port = UInt16(port),
            let address = IPAddress(host)
        else { return nil }
        self.address = address
        self.port = port
    }

    private init(_ address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }

    func at(_ port: UInt16) -> MetricsAddress { MetricsAddress(address, port: port) }

    /// Whether only this machine gets there.
    public var isLoopback: Bool {
        switch address {
        case .v4(let address): address.number >> 24 == 127
        case .v6(let address): address.number == 1
        }
    }

    public var description: String {
        address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    }
}
