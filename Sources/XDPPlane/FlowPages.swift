import BPF
public import Balancing
package import CDatapath
import Packets

// The recorded flows, page by page.

extension XDPPlane {
    /// Looks at ``FlowScan/mostWords`` places at most: where few flows match, a page may be short,
    /// or empty, and the next one has more.
    ///
    /// The cursor is a place: first those of the flow table, then the ports of one NAT address
    /// after the other. Nothing moves from one place to another, so that what is there all the
    /// time is told exactly once, whatever comes and goes meanwhile.
    public func flows(_ query: FlowQuery) throws -> RecordedFlows {
        var scan = FlowScan(query)
        let size = flowTable.words.count
        if scan.position < size {
            let inUse = try wordsInUse()
            scan.run(over: flowTable.words, count: inUse, now: .now) { isTaken($0) }
            // What is not in use is empty.
            if !scan.isOver { scan.position = size }
        }
        while !scan.isOver {
            let number = (scan.position - size) / portsOfAddress
            guard number < tables.natTables.capacity else {
                return RecordedFlows(flows: scan.flows, next: nil)
            }
            try scanPorts(of: number, first: size + number * portsOfAddress, &scan)
        }
        return RecordedFlows(flows: scan.flows, next: UInt64(scan.position))
    }

    private func scanPorts(of number: Int, first: Int, _ scan: inout FlowScan) throws(Failure) {
        let address = try tables.natSources.value(for: UInt32(number))?.unmapped
        let table = try natTable(UInt32(number))
        guard let address, let table else {
            scan.position = first + portsOfAddress
            return
        }
        let words = try MappedArray<UInt64>(table)
        scan.run(over: words, at: address, first: first, now: coarseTime()) { natEnd(of: $0) }
    }

    /// Where the flows of a backend of `full-nat` go; nil: it is none.
    private func natEnd(of backend: Int) -> NATEnd? {
        guard backend < tables.backends.capacity else { return nil }
        return NATEnd(of: records.value(at: backend, as: martlet_backend.self))
    }
}

extension NATEnd {
    /// Nil: the record is free, or of another mode.
    init?(of record: martlet_backend) {
        guard record.service != 0, record.forwarding == Forwarding.fullNAT.number,
            let address = record.address.address(family: record.family)
        else { return nil }
        self.init(address, port: UInt16(bigEndian: record.port))
    }
}

/// A way through recorded flows that begins where another one ended, and ends in time.
package struct FlowScan {
    /// A quarter of the flow table: a matter of a millisecond.
    package static let mostWords = 1 << 19

    private let query: FlowQuery
    package private(set) var flows: [RecordedFlow] = []
    /// Of the first place that was not looked at.
    package fileprivate(set) var position: Int
    private var wordsLeft = mostWords

    package init(_ query: FlowQuery) {
        self.query = query
        position = Int(clamping: query.cursor)
    }

    package var isOver: Bool { flows.count >= query.limit || wordsLeft == 0 }

    /// Goes on through the flow table, of which `count` words are in use.
    package mutating func run(
        over words: borrowing some SharedWords & ~Copyable, count: Int, now: FlowEpoch,
        isTaken: (Int) -> Bool
    ) {
        while !isOver, position < count {
            let entry = FlowEntry(word: words[position])
            position += 1
            wordsLeft -= 1
            guard entry.word != 0, let state = RecordedFlow.State(entry.state),
                entry.backend != 0, isTaken(entry.backend)
            else { continue }
            take(
                RecordedFlow(
                    backend: BackendID(UInt16(entry.backend)), state: state, slot: entry.slot,
                    idle: entry.epoch.leastIdleTime(at: now)))
        }
    }

    /// Goes on through the ports of a NAT address.
    ///
    /// - Parameters:
    ///   - first: The position of its port 0.
    ///   - now: As ``coarseTime()``.
    mutating func run(
        over words: borrowing some SharedWords & ~Copyable, at address: IPAddress, first: Int,
        now: UInt32, end: (Int) -> NATEnd?
    ) {
        let lanes = Int(MARTLET_NAT_LANES.rawValue)
        while !isOver, position < first + portsOfAddress {
            let port = position - first
            position += 1
            wordsLeft -= 1
            let bucket = port / lanes * wordsOfNATBucket
            let word = words[bucket + port % lanes]
            guard let known = flowState(of: word, now), let state = RecordedFlow.State(known)
            else { continue }
            let start = bucket + (1 + port % lanes) * wordsOfNATFlow
            let flow = NATFlowWords(in: words, at: start)
            guard let end = end(flow.backend), end.has(flow) else { continue }
            let client = NATClient(in: words, at: start)
            // Another flow may have got the port while its words were read.
            guard words[bucket + port % lanes] >> tagShift == word >> tagShift else { continue }
            var recorded = RecordedFlow(
                backend: BackendID(UInt16(flow.backend)), state: state,
                idle: leastIdleTime(of: word, now))
            (recorded.client, recorded.clientPort) = (client.address, client.port)
            (recorded.natAddress, recorded.natPort) = (address, UInt16(port))
            take(recorded)
        }
    }

    private mutating func take(_ flow: RecordedFlow) {
        guard query.backends?.contains(flow.backend) ?? true,
            query.states?.contains(flow.state) ?? true
        else { return }
        flows.append(flow)
    }
}

private let portsOfAddress = 1 << 16
private let tagShift = UInt64(MARTLET_NAT_TAG_SHIFT.rawValue)

/// Whose a `martlet_nat_flow` is.
private struct NATClient {
    let address: IPAddress?
    let port: UInt16

    /// - Parameter index: Where the flow begins.
    init(in words: borrowing some SharedWords & ~Copyable, at index: Int) {
        let pair = (words[index], words[index + 1])
        address = unsafe unsafeBitCast(pair, to: martlet_address.self).unmapped
        port = UInt16(bigEndian: UInt16(truncatingIfNeeded: words[index + 6]))
    }
}

extension RecordedFlow.State {
    /// Nil: there is no such flow.
    package init?(_ state: martlet_flow_state) {
        switch state {
        case MARTLET_FLOW_HALF_OPEN: self = .halfOpen
        case MARTLET_FLOW_ESTABLISHED: self = .established
        case MARTLET_FLOW_CLOSING: self = .closing
        case MARTLET_FLOW_DATAGRAMS: self = .datagrams
        case MARTLET_FLOW_AFFINITY: self = .affinity
        default: return nil
        }
    }
}

extension FlowEpoch {
    /// For so long, at least, no packet has come: one may have come at the epoch's end.
    package func leastIdleTime(at now: FlowEpoch) -> Duration {
        .nanoseconds(Int64(max(age(at: now), 1) - 1) << Int64(MARTLET_FLOW_TICK_SHIFT.rawValue))
    }
}

/// The same of a flow of `full-nat`, by its word.
private func leastIdleTime(of word: UInt64, _ now: UInt32) -> Duration {
    let mask: UInt32 = 1 << UInt32(MARTLET_NAT_TIME_BITS.rawValue) - 1
    let age = (now &- UInt32(truncatingIfNeeded: word) >> MARTLET_NAT_TIME_SHIFT.rawValue) & mask
    // What was used in the future was used by a CPU that has read the clock later.
    return .nanoseconds(age > mask / 2 ? 0 : Int64(max(age, 1) - 1) << 30)
}
