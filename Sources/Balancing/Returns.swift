public import Packets

/// From where a backend of a `nat` service answers.
///
/// With `nat` the data path knows no flows on the way back: these three say as whose the answer
/// leaves.
public struct ReturnKey: Hashable, Sendable {
    public var backend: IPAddress
    /// Nil: from any port that no other key has.
    public var port: UInt16?
    public var transport: Transport

    public init(backend: IPAddress, port: UInt16?, transport: Transport) {
        self.backend = backend
        self.port = port
        self.transport = transport
    }
}

extension ReturnKey: Comparable {
    public static func < (left: Self, right: Self) -> Bool {
        (left.backend, left.port ?? 0, left.transport.rawValue)
            < (right.backend, right.port ?? 0, right.transport.rawValue)
    }
}

/// An answer of a backend, and as whose it leaves.
public struct Return: Hashable, Sendable {
    public var from: ReturnKey
    /// What the client addressed; a port of nil: the port stays as it is.
    public var to: ServiceKey

    public init(from: ReturnKey, to: ServiceKey) {
        self.from = from
        self.to = to
    }
}
