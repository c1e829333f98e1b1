import BPF
public import CDatapath
import Model
import ModelMaps
import Packets
import SeededRandom
import XDPPlane

/// A packet of which program and model make different things.
public struct Difference: Error, CustomStringConvertible {
    public let description: String
}

/// Runs the same packets through the program, in the kernel, and through the model.
public struct Differential {
    private let seed: UInt64
    private let network: KernelNetwork
    /// How often each verdict was reached, by its number.
    public private(set) var verdicts: [UInt32: Int] = [:]
    /// How often each thing happened in the flow table, by its number.
    public private(set) var flowEvents: [UInt32: UInt64] = [:]
    /// Packets compared.
    public private(set) var packets = 0

    /// Packets of one set of tables: making tables takes as long as many packets.
    private static let batch = 20_000
    /// Packets between two sweeps of the controller's.
    private static let sweepInterval = 200

    /// Enters a network of its own with the calling thread, which must stay there.
    ///
    /// - Parameter seed: The same seed gives the same tables and packets.
    public init(seed: UInt64) throws {
        self.seed = seed
        network = try KernelNetwork()
    }

    /// Compares one more batch of packets over new tables.
    public mutating func runBatch() throws {
        let batchSeed = seed &+ UInt64(packets)
        var random = Random(seed: batchSeed)
        let world = World(&random, in: network)
        let frames = Frames(random, answers: world.answers, hotFlows: world.hotFlows)
        guard try agree(world, frames) else {
            let (index, mismatch, before) = try locate(world, frames)
            throw Difference(
                description: "seed \(batchSeed), packet \(index):\n"
                    + "\(try shrunk(mismatch, before))\nas it came:\n\(mismatch)")
        }
        packets += Self.batch
    }

    /// Whether they make the same of every packet, and count the same over all.
    private mutating func agree(_ world: World, _ frames: Frames) throws -> Bool {
        var (run, frames) = (try Run(world), frames)
        for index in 0..<Self.batch {
            if index % Self.sweepInterval == 0 {
                guard try run.flowsAgree() else { return false }
                try run.sweep()
            }
            guard let verdict = try run.agreedVerdict(on: frames.next()) else { return false }
            verdicts[verdict.rawValue, default: 0] += 1
        }
        guard try run.countsAgree() else { return false }
        flowEvents.merge(run.flowEvents) { $0 + $1 }
        return true
    }

    /// Goes through the batch once more, and looks at everything after every packet; with the
    /// tables before that one.
    private func locate(_ world: World, _ frames: Frames) throws -> (Int, Mismatch, World) {
        var (run, frames) = (try Run(world), frames)
        for index in 0..<Self.batch {
            if index % Self.sweepInterval == 0 { try run.sweep() }
            var before = world
            before.tables = run.tables
            if let mismatch = try run.mismatch(on: frames.next()) {
                return (index, mismatch, before)
            }
        }
        throw Difference(description: "seed \(seed &+ UInt64(packets)): not twice the same")
    }

    /// A shorter or simpler frame on which they differ as well, over the same tables.
    private func shrunk(_ mismatch: Mismatch, _ world: World) throws -> Mismatch {
        var (run, smallest, tries) = (try Run(world), mismatch, 0)
        var isSmaller = true
        while isSmaller, tries < Self.shrinkLimit {
            isSmaller = false
            for candidate in simpler(smallest.frame) where tries < Self.shrinkLimit {
                tries += 1
                guard let other = try run.mismatch(on: candidate) else { continue }
                smallest = other
                isSmaller = true
                break
            }
        }
        return smallest
    }

    /// So many tries take some seconds.
    private static let shrinkLimit = 3000

    private func simpler(_ frame: [UInt8]) -> [[UInt8]] {
        let cuts = [frame.count / 2, frame.count - 16, frame.count - 1]
            .filter { $0 >= 14 && $0 < frame.count }
            .map { Array(frame.prefix($0)) }
        let zeroed = frame.indices.filter { frame[$0] != 0 }.map { index in
            var simpler = frame
            simpler[index] = 0
            return simpler
        }
        return cuts + zeroed
    }
}

/// A frame of which they make different things, and what.
struct Mismatch: CustomStringConvertible {
    let frame: [UInt8]
    let model: String
    let program: String

    var description: String {
        """
          frame   \(hex(frame))
          model   \(model)
          program \(program)
        """
    }
}

private func hex(_ bytes: [UInt8]) -> String {
    bytes.map { byte in
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
    }.joined()
}

/// All that is counted, over all CPUs.
private struct Counts: Equatable {
    var verdicts: [UInt32: Traffic] = [:]
    var services: [UInt32: Traffic] = [:]
    var backends: [UInt32: Traffic] = [:]
    var flowEvents: [UInt32: UInt64] = [:]

    struct Traffic: Equatable {
        var packets: UInt64 = 0
        var bytes: UInt64 = 0
        var flows: UInt64 = 0
    }

    /// Takes what the model says of a packet.
    mutating func add(_ outcome: Outcome, bytes: Int) {
        let flows: UInt64 = outcome.isNewFlow ? 1 : 0
        add(\.verdicts, outcome.verdict.rawValue, bytes, 0)
        if let service = outcome.service { add(\.services, service, bytes, flows) }
        if let backend = outcome.backend { add(\.backends, backend, bytes, flows) }
        for event in outcome.flowEvents { flowEvents[event.rawValue, default: 0] += 1 }
    }

    private mutating func add(
        _ kind: WritableKeyPath<Counts, [UInt32: Traffic]>, _ number: UInt32, _ bytes: Int,
        _ flows: UInt64
    ) {
        self[keyPath: kind][number, default: Traffic()].packets += 1
        self[keyPath: kind][number, default: Traffic()].bytes += UInt64(bytes)
        self[keyPath: kind][number, default: Traffic()].flows += flows
    }
}

extension Counts {
    /// What the program has counted; what it never counted is left out.
    init(_ plane: XDPPlane) throws {
        for number in 0..<MARTLET_VERDICT_COUNT.rawValue {
            let counts = try plane.tables.verdictCounters.perCPU(number)
            verdicts[number] = counts.reduce(into: Traffic()) {
                $0.packets += $1.packets
                $0.bytes += $1.bytes
            }
        }
        for number in 1...World.highestNumber {
            services[number] = Traffic(try plane.tables.serviceCounters.perCPU(number))
            backends[number] = Traffic(try plane.tables.backendCounters.perCPU(number))
        }
        for number in 0..<MARTLET_FLOW_EVENT_COUNT.rawValue {
            let count = try plane.tables.flowCounters.perCPU(number).reduce(0, +)
            if count > 0 { flowEvents[number] = count }
        }
        for kind in [\Counts.verdicts, \.services, \.backends] {
            self[keyPath: kind] = self[keyPath: kind].filter { $0.value.packets > 0 }
        }
    }
}

extension Counts.Traffic {
    init(_ counts: [martlet_traffic]) {
        for count in counts {
            packets += count.packets
            bytes += count.bytes
            flows += count.flows
        }
    }
}

/// The program with tables of its own, and the model with what it expects the program to count.
private struct Run {
    private let plane: XDPPlane
    private(set) var tables: Model.Tables
    private var expected = Counts()
    private var sweeps: Random

    /// Where a test run says that its packets come from: the loopback.
    private static let ingress: UInt32 = 1

    init(_ world: World) throws {
        plane = try XDPPlane(takingOver: PinDirectory("/sys/fs/bpf/martlet-no-such"))
        tables = world.tables
        sweeps = world.sweeps
        try world.write(into: plane)
    }

    /// Runs one frame through both.
    private mutating func run(_ frame: [UInt8]) throws -> (Outcome, Program.Result, agree: Bool) {
        let outcome = decide(frame, from: Self.ingress, by: tables, at: coarseTime())
        if outcome.verdict == MARTLET_REPLY_TOO_BIG {
            // Each such packet finds a whole budget.
            try plane.tables.errorBudget.setPerCPU(martlet_budget(), for: 0)
        }
        tables.apply(outcome)
        expected.add(outcome, bytes: frame.count)
        let result = try plane.program.run(on: frame)
        let agree = result.action == outcome.action.code && result.packet == outcome.frame
        return (outcome, result, agree)
    }

    /// The verdict, if action and frame are the same; counters are not looked at.
    mutating func agreedVerdict(on frame: [UInt8]) throws -> martlet_verdict? {
        let (outcome, _, agree) = try run(frame)
        return agree ? outcome.verdict : nil
    }

    var flowEvents: [UInt32: UInt64] { expected.flowEvents }

    /// Does to both what a controller does meanwhile.
    mutating func sweep() throws {
        tables.sweep(&sweeps)
        try tables.writeSettings(into: plane)
        try tables.writeFlows(into: plane)
        try tables.writeSlots(into: plane, upTo: World.sweptSlots)
    }

    /// Where the flow table, the loads and the turns are others than the model's; nil: nowhere.
    private func flowDifference() throws -> String? {
        FlowState(tables).difference(from: try FlowState(plane, mask: tables.flowMask))
    }

    func flowsAgree() throws -> Bool { try flowDifference() == nil }

    /// Whether the program has counted what the model says, and left the same notes and flows.
    func countsAgree() throws -> Bool {
        guard try Counts(plane) == expected,
            try plane.firstDifference(from: tables.nat) == nil, try flowsAgree()
        else { return false }
        return try tables.fragments.allSatisfy { key, note in
            let found = try plane.tables.fragments.value(for: martlet_fragment_key(key))
            return found?.service == note.service && found?.backend == note.backend
                && found?.hash == note.hash && found?.nat == number(of: note.place)
        }
    }

    private func number(of place: NAT.Place?) -> UInt32 {
        place.map { $0.address << 16 | UInt32($0.port) } ?? 0
    }

    /// Whether the flow that the model has changed is the same in the tables.
    private func flowAgrees(_ outcome: Outcome) throws -> Bool {
        guard let place = outcome.flowChange?.place,
            let table = try plane.natTable(place.address)
        else { return true }
        let found = NATCell(at: place.port, of: try MappedArray<UInt64>(table))
        return tables.nat.flows[place].map { found.isLike(NATCell($0)) } ?? found.isFree
    }

    /// Runs one frame, and looks at everything.
    mutating func mismatch(on frame: [UInt8]) throws -> Mismatch? {
        let before = expected
        let (outcome, result, agree) = try run(frame)
        let counted = try Counts(plane)
        // What comes next is compared from here on.
        defer { expected = counted }
        let flowAgrees = try flowAgrees(outcome)
        let flowDifference = try flowDifference()
        if agree, counted == expected, flowAgrees, flowDifference == nil { return nil }
        tables.adopt(try FlowState(plane, mask: tables.flowMask))
        let verdicts = counted.verdicts.filter { before.verdicts[$0.key] != $0.value }.keys
            .map { name(martlet_verdict($0)) }
        let flowWords =
            (outcome.isNewFlow ? "a new flow" : "no new flow")
            + (flowAgrees ? "" : ", with another NAT flow")
            + (counted.flowEvents == expected.flowEvents
                ? "" : ", counts \(expected.flowEvents), not \(counted.flowEvents)")
            + (flowDifference.map { ", \($0)" } ?? "")
        let services = counted.services.filter { before.services[$0.key] != $0.value }.keys
        let backends = counted.backends.filter { before.backends[$0.key] != $0.value }.keys
        return Mismatch(
            frame: frame,
            model: "\(name(outcome.verdict)) \(outcome.action), service "
                + "\(outcome.service ?? 0), backend \(outcome.backend ?? 0), "
                + "\(flowWords): \(hex(outcome.frame))",
            program: "\(verdicts.joined(separator: " ")) action \(result.action), service "
                + "\(Array(services)), backend \(Array(backends)): \(hex(result.packet))")
    }
}

/// The name of a verdict, as the counters have it.
public func name(_ verdict: martlet_verdict) -> String {
    unsafe martlet_verdict_name(verdict.rawValue).map { unsafe String(cString: $0) } ?? "none"
}

extension martlet_fragment_key {
    fileprivate init(_ key: Model.Tables.FragmentKey) {
        self.init(
            source: martlet_address(Places.v6(mapped(key.source))),
            destination: martlet_address(Places.v6(mapped(key.destination))),
            identification: key.identification.bigEndian, protocol: key.transport,
            family: key.source.family.rawValue, zero: 0)
    }
}
