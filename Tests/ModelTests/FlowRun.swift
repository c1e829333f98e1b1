import CDatapath
import Model
import Packets
import Testing

/// Packets of one client, one after the other, with what they leave behind.
///
/// They are for the service of ``Setting``, which has the backends 1 to 9 here; those of 10 and
/// more are of another service.
struct FlowRun {
    var setting = Setting()
    /// In units of 2^30 ns; the epoch is 1000.
    var now: UInt32 = 8000
    private(set) var last = decide([], from: 0, by: Tables())

    /// The hash of the flow from port 41000 to TCP port 80, and to UDP port 53: SipHashTests.
    static let hash: UInt64 = 0xcc1c_e972_95cd_13b6
    static let udpHash: UInt64 = 0xdac5_0cbb_eadb_20d9

    /// - Parameter word: Of each of the eight slots.
    init(_ word: UInt32 = 9, _ change: (inout Tables.Service) -> Void = { _ in }) {
        setting.tables.flowMask = 0xff
        let record = setting.tables.backends[9]
        for id in 1...12 as ClosedRange<UInt32> {
            setting.tables.backends[id] = record
            if id > 9 { setting.tables.backends[id]?.service = 2 }
        }
        slots = [UInt32](repeating: word, count: 8)
        setting.changeServices(change)
    }

    var tables: Tables {
        get { setting.tables }
        set { setting.tables = newValue }
    }

    /// Of the service.
    var slots: [UInt32] {
        get { tables.slots[Setting.service] ?? [] }
        set {
            setting.tables.slots[Setting.service] = newValue
            setting.changeServices { $0.slotMask = UInt32(newValue.count) - 1 }
        }
    }

    /// Who gets the packet, or the verdict on it.
    @discardableResult mutating func send(_ packet: [UInt8]) -> String {
        last = decide(
            ethernet(0x0800) + packet, from: Setting.interface, by: tables, at: now)
        tables.apply(last)
        return last.backend.map(String.init) ?? last.verdictName
    }

    @discardableResult mutating func tcp(_ flags: UInt8, from port: Int = 41000) -> String {
        send(ipv4(ModelTests.tcp(from: port, flags: flags)))
    }

    @discardableResult mutating func udp() -> String { send(ipv4(ModelTests.udp(), next: 17)) }

    /// "Port unreachable" about the flow.
    @discardableResult mutating func error() -> String {
        let quoted = ipv4(word(80) + word(41000) + filler(4), from: Place.vip, to: Place.client)
        return send(ipv4(icmp(3, 3, quoted), next: 1))
    }

    // MARK: The flow table

    private func text(_ entry: FlowEntry) -> String {
        let letters = [
            MARTLET_FLOW_HALF_OPEN: "h", MARTLET_FLOW_ESTABLISHED: "e", MARTLET_FLOW_CLOSING: "c",
            MARTLET_FLOW_DATAGRAMS: "d", MARTLET_FLOW_AFFINITY: "a",
        ]
        return (letters[entry.state] ?? "?") + String(entry.backend)
    }

    /// An entry of the flow, of 800 epochs ago.
    func entry(
        _ state: martlet_flow_state, of backend: UInt32, hash: UInt64 = Self.hash
    ) -> FlowEntry {
        FlowEntry(
            backend: backend, slot: UInt32(hash & 7), state: state, epoch: 200,
            fingerprint: UInt32(hash >> 46))
    }

    /// - Parameter index: Of the sixteen places of the flow, in order.
    mutating func put(_ entry: FlowEntry, at index: Int = 0, hash: UInt64 = Self.hash) {
        let place = FlowPlaces(hash: hash, mask: tables.flowMask).all[index]
        tables.flows[place.bucket, default: Array(repeating: 0, count: 8)][place.lane] = entry.word
    }

    /// Entries of another flow at these of the sixteen places of the flow.
    mutating func fill(
        _ indices: some Sequence<Int>, with state: martlet_flow_state = MARTLET_FLOW_ESTABLISHED,
        of backend: UInt32 = 1
    ) {
        for index in indices {
            var other = entry(state, of: backend)
            other.fingerprint ^= 1
            put(other, at: index)
        }
    }

    /// What stands at the flow's sixteen places: the state's first letter and the backend.
    func entries(of hash: UInt64 = Self.hash) -> [Int: String] {
        let places = FlowPlaces(hash: hash, mask: tables.flowMask).all
        return Dictionary(
            uniqueKeysWithValues: places.enumerated().compactMap { index, place in
                FlowEntry(word: tables.flows[place.bucket]?[place.lane] ?? 0)
                    .map { (index, text($0)) }
            })
    }

    func flows(of backend: UInt32) -> Int {
        Int(Int32(truncatingIfNeeded: tables.loads[backend]?.flows ?? 0))
    }
}

/// Words of slots.
enum SlotWord {
    static func looking(_ owner: UInt32, former: UInt32 = 0) -> UInt32 {
        owner | 1 << 15 | former << 16
    }

    static func pinning(_ owner: UInt32, former: UInt32) -> UInt32 {
        looking(owner, former: former) | 1 << 31
    }
}
