// What commands tell in JSON, as far as the tests need it: read as a script would, not with the
// types that wrote it.

/// `martlet status --json`
struct StatusRead: Decodable {
    let interval: Double?
    let interfaces: [Interface]
    let services: [Service]

    struct Interface: Decodable {
        let name: String
        let mode: String?
        let program: Int?
    }
    struct Service: Decodable {
        let name: String
        let key: String
        let slots: Int
        let traffic: TrafficRead
        let backends: [Backend]
    }
    struct Backend: Decodable {
        let name: String
        let address: String
        let slots: Int
        let share: Double
        /// In microseconds.
        let latency: UInt32?
        let health: Health
        let way: Way
        let traffic: TrafficRead
    }
    struct Health: Decodable {
        let state: String
        let reason: String
        let since: String
    }
    struct Way: Decodable {
        let interface: String?
        let neighbour: String?
        let obstacle: String?
    }
}

/// `martlet counters --json`
struct CountersRead: Decodable {
    let received: TrafficRead
    let verdicts: [Verdict]
    let services: [Service]

    struct Verdict: Decodable {
        let name: String
        let text: String
        let traffic: TrafficRead
    }
    struct Service: Decodable {
        let key: String
        let name: String?
        let traffic: TrafficRead
        let backends: [Backend]
    }
    struct Backend: Decodable {
        let address: String
        let name: String?
        let traffic: TrafficRead
    }
}

struct TrafficRead: Decodable {
    let packets: UInt64
    let bytes: UInt64
    let packetsPerSecond: Double?

    var amount: Amount { Amount(packets: packets, bytes: bytes) }
}

/// Packets and bytes, from wherever.
struct Amount: Hashable {
    var packets: UInt64 = 0
    var bytes: UInt64 = 0

    static func + (left: Self, right: Self) -> Self {
        Amount(packets: left.packets + right.packets, bytes: left.bytes + right.bytes)
    }
}

/// `ip -d -j link show`
struct LinkRead: Decodable {
    let address: String
    let xdp: XDP?

    struct XDP: Decodable {
        let mode: Int
        let prog: Program
    }
    struct Program: Decodable { let id: Int }
}
