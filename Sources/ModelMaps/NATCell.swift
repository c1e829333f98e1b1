package import BPF
import CDatapath
package import Model
import Packets
import XDPPlane

/// A flow as the words of a table: the one with its state, and eight that tell the rest.
package struct NATCell: Equatable {
    package var word: UInt64
    package var rest: [UInt64]

    package init(_ flow: NATFlow) {
        word =
            UInt64(flow.tag) << UInt64(MARTLET_NAT_TAG_SHIFT.rawValue)
            | UInt64(flow.used) << UInt64(MARTLET_NAT_TIME_SHIFT.rawValue) | UInt64(flow.state)
        var hop = martlet_next_hop()
        if let lastHop = flow.lastHop {
            hop = martlet_next_hop(
                mac: tuple(lastHop.neighbour), egress: UInt16(lastHop.egress))
        }
        let record = martlet_nat_flow(
            client: martlet_address(mapping: flow.client.address),
            vip: martlet_address(mapping: flow.vip.address),
            backend: martlet_address(mapping: flow.backend.address),
            client_port: flow.client.port.bigEndian, vip_port: flow.vip.port.bigEndian,
            backend_port: flow.backend.port.bigEndian, backend_id: UInt16(flow.backendID),
            last_hop: hop)
        rest = unsafe withUnsafeBytes(of: record) { bytes in
            unsafe Array(bytes.bindMemory(to: UInt64.self))
        }
    }

    private static let wordsOfBucket = 72

    package init(at port: UInt16, of words: borrowing MappedArray<UInt64>) {
        let (first, lane) = Self.position(port)
        word = words[first + lane]
        rest = []
        for index in 0..<8 { rest.append(words[first + 8 + 8 * lane + index]) }
    }

    package func write(at port: UInt16, of words: borrowing MappedArray<UInt64>) {
        let (first, lane) = Self.position(port)
        words[first + lane] = word
        for (index, value) in rest.enumerated() { words[first + 8 + 8 * lane + index] = value }
    }

    private static func position(_ port: UInt16) -> (first: Int, lane: Int) {
        (Int(port) / 8 * wordsOfBucket, Int(port) % 8)
    }

    package var isFree: Bool { word & UInt64(MARTLET_NAT_STATE.rawValue) == 0 }

    /// Whether it is `other`, give or take the moment at which the clock was read.
    package func isLike(_ other: NATCell) -> Bool {
        let shift = UInt64(MARTLET_NAT_TIME_SHIFT.rawValue)
        let mask = UInt64(1) << UInt64(MARTLET_NAT_TIME_BITS.rawValue) - 1
        let apart = ((word >> shift) &- (other.word >> shift)) & mask
        let isSameTime = apart <= 2 || apart >= mask - 1
        return isSameTime && (word ^ other.word) & ~(mask << shift) == 0 && rest == other.rest
    }

    /// The flow; nil: the port is free.
    package var flow: NATFlow? {
        guard !isFree else { return nil }
        let record = unsafe rest.withUnsafeBytes {
            unsafe $0.loadUnaligned(as: martlet_nat_flow.self)
        }
        let mac = bytes(record.last_hop.mac)
        let egress = UInt32(record.last_hop.egress)
        return NATFlow(
            state: UInt32(truncatingIfNeeded: word) & MARTLET_NAT_STATE.rawValue,
            used: UInt32(truncatingIfNeeded: word) >> MARTLET_NAT_TIME_SHIFT.rawValue,
            tag: UInt32(truncatingIfNeeded: word >> UInt64(MARTLET_NAT_TAG_SHIFT.rawValue)),
            client: end(record.client, record.client_port),
            vip: end(record.vip, record.vip_port),
            backend: end(record.backend, record.backend_port),
            backendID: UInt32(record.backend_id),
            lastHop: egress == 0 ? nil : NATFlow.Hop(neighbour: mac, egress: egress))
    }
}

/// What a CPU is about to write has no address yet.
private func end(_ address: martlet_address, _ networkPort: UInt16) -> NATFlow.End {
    NATFlow.End(
        address.unmapped ?? .v6(IPv6Address(0)), UInt16(bigEndian: networkPort))
}
