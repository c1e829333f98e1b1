import BPF
import Balancing
import CDatapath
import Model
import Packets
import XDPPlane

/// The rows of flows that the flow table has to be asked for: `ipip`, IPv4.
///
/// A slot's owner, its former owner and the backends of entries are three groups: so the backends'
/// counters tell by which of them packets were sent.
func makeRecordedSubjects(_ harness: borrowing Harness) throws -> [Subject] {
    let list = harness.list
    let (moving, tracked) = (
        try RecordedFlows(tracks: false), try RecordedFlows(tracks: true)
    )
    let many = RecordedFlows.count
    // Each once, so that every SYN makes an entry.
    func makesEntries(_ flows: RecordedFlows, _ packet: String) -> Subject {
        var subject = flows.subject(packet, isSYN: true, flows: many)
        subject.variety = .listed
        subject.prepare = {
            flows.clear()
            list.set(flows.ends)
        }
        subject.evidence = Evidence("made an entry") { try flows.plane.flowEvents().made }
        return subject
    }
    func hits(_ flows: RecordedFlows, _ packet: String) -> [Subject] {
        [1, many].map { count in
            var subject = flows.subject(packet, flows: count)
            subject.prepare = flows.record
            subject.evidence = flows.evidence(of: .recorded)
            return subject
        }
    }
    var miss = moving.subject("established, moving, no entry", flows: many)
    miss.frame = tcpFrame(
        from: client(UInt32(many)), to: End(address: moving.setup.vip, port: 80))
    miss.prepare = moving.record
    miss.evidence = moving.evidence(of: .former)
    return hits(moving, "established, moving, entry") + [miss]
        + [makesEntries(moving, "SYN, moving, makes an entry")]
        + hits(tracked, "established, round-robin, entry")
        + [makesEntries(tracked, "SYN, round-robin, makes an entry")]
}

/// A service whose flows have entries, those of all clients up to ``count``.
private final class RecordedFlows {
    /// As many as half of the places.
    static let count = 1 << 20

    enum Group: Int {
        case owner
        case former
        case recorded
    }

    let plane: XDPPlane
    let setup: Setup
    private let words: MappedArray<UInt64>
    /// By the place in the flow table.
    private let entries: [(index: Int, entry: Model.FlowEntry)]
    private let groups: [[BackendID]]

    /// - Parameter tracks: Whether every flow has an entry, because turns are taken; else the slots
    ///   are moving.
    init(tracks: Bool) throws {
        let setup = Setup(family: .v4, forwarding: .ipip, takesTurns: tracks)
        let plane = try setup.makePlane()
        let contents = try plane.contents()
        guard let (service, held) = contents.services.first,
            let key = try plane.tables.settings.value(for: 0)
        else { throw Failure("find", "service", because: "there is none", cure: nil) }
        let backends = contents.backends.keys.sorted()
        let groups = (0..<3).map { group in
            backends.indices.filter { $0 % 3 == group }.map { backends[$0] }
        }
        let slots = held.slots.indices.map { slot in
            Slot(
                owner: groups[0][slot % groups[0].count],
                former: tracks ? nil : groups[1][slot % groups[1].count], looks: !tracks)
        }
        try plane.apply(
            .writeSlots(service, slots.enumerated().map { SlotChange(slot: $0, to: $1) }))
        words = try MappedArray<UInt64>(plane.tables.flows)
        entries = place(
            (0..<Self.count).map { client in
                flowHash(
                    of: flow(of: UInt32(client), to: setup.vip),
                    key: (key.hash_key.0, key.hash_key.1))
            }, bucketMask: key.flow_mask, slotMask: UInt32(slots.count - 1), groups[2])
        guard entries.count == Self.count else {
            throw Failure("record", "\(Self.count) flows", because: "there is no room", cure: nil)
        }
        self.plane = plane
        self.setup = setup
        self.groups = groups
    }

    func subject(_ packet: String, isSYN: Bool = false, flows: Int) -> Subject {
        Subject(
            row: Row(packet, setup, flows: flows), frame: setup.frame(isSYN: isSYN), plane: plane,
            verdict: setup.verdict)
    }

    /// That of all clients, one after the other.
    var ends: [martlet_bench_ends] {
        let vip = End(address: setup.vip, port: 80)
        return (0..<Self.count).map { martlet_bench_ends(from: client(UInt32($0)), to: vip) }
    }

    /// Gives every client an entry that was renewed just now, and nobody else.
    func record() {
        clear()
        let epoch = UInt32(FlowEpoch.now.number)
        for (index, entry) in entries {
            var entry = entry
            entry.epoch = epoch
            words[index] = entry.word
        }
    }

    func clear() {
        for index in 0..<words.count { words[index] = 0 }
    }

    /// Packets that were sent to backends of this group.
    func evidence(of group: Group) -> Evidence {
        let (plane, backends) = (plane, groups[group.rawValue])
        return Evidence("sent to a backend that is \(group)") {
            let counters = try plane.counters().backends
            return backends.reduce(0) { $0 + (counters[$1]?.packets ?? 0) }
        }
    }
}

private func flow(of number: UInt32, to vip: IPAddress) -> Flow {
    let client = client(number)
    return Flow(
        source: client.address, destination: vip, sourcePort: client.port, destinationPort: 80,
        transport: 6)
}

/// Where the program would have put entries of flows with these hashes: in the emptier bucket.
private func place(
    _ hashes: [UInt64], bucketMask: UInt32, slotMask: UInt32, _ backends: [BackendID]
) -> [(index: Int, entry: Model.FlowEntry)] {
    let lanes = UInt8(MARTLET_FLOW_LANES.rawValue)
    var taken = [UInt8](repeating: 0, count: Int(bucketMask) + 1)
    return hashes.enumerated().compactMap { number, hash in
        let places = FlowPlaces(hash: hash, mask: bucketMask)
        let (first, second) = (Int(places.buckets[0]), Int(places.buckets[1]))
        let bucket = taken[second] < taken[first] ? second : first
        guard taken[bucket] < lanes else { return nil }
        defer { taken[bucket] += 1 }
        return (
            bucket * Int(lanes) + Int(taken[bucket]),
            Model.FlowEntry(
                backend: UInt32(backends[number % backends.count].number),
                slot: UInt32(truncatingIfNeeded: hash) & slotMask,
                state: MARTLET_FLOW_ESTABLISHED, epoch: 0, fingerprint: places.fingerprint)
        )
    }
}
