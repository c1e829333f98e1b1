import BPF
public import CDatapath
import Model
import Packets
import XDPPlane

/// A packet of which program and model make different things.
public struct Difference: Error, CustomStringConvertible {
    public let description: String
}

/// Runs the same packets through the program, in the kernel, and through the model.
public struct Differential {
    private let seed: UInt64
    /// How often each verdict was reached, by its number.
    public private(set) var verdicts: [UInt32: Int] = [:]
    /// Packets compared.
    public private(set) var packets = 0

    /// Packets of one set of tables: making tables takes as long as some thousand packets.
    private static let batch = 4000

    /// - Parameter seed: The same seed gives the same tables and packets.
    public init(seed: UInt64) { self.seed = seed }

    /// Compares one more batch of packets over new tables.
    public mutating func runBatch() throws {
        var random = Random(seed: seed &+ UInt64(packets))
        let world = World(&random)
        let frames = Frames(random)
        let run = try Run(world)
        do {
            try compare(run, frames)
        } catch let difference as Mismatch {
            throw Difference(
                description: "seed \(seed &+ UInt64(packets)), packet \(difference.index):\n"
                    + shrunk(difference, world).text)
        }
        packets += Self.batch
    }

    private mutating func compare(_ run: Run, _ frames: Frames) throws {
        var (run, frames) = (run, frames)
        for index in 0..<Self.batch {
            let frame = frames.next()
            let verdict = try run.compare(frame, index)
            verdicts[verdict.rawValue, default: 0] += 1
        }
        try run.compareCounters()
    }

    /// A shorter or simpler frame of the same tables on which they differ as well.
    private func shrunk(_ mismatch: Mismatch, _ world: World) -> Mismatch {
        var smallest = mismatch
        var isSmaller = true
        while isSmaller {
            isSmaller = false
            for candidate in simpler(smallest.frame) {
                guard var run = try? Run(world) else { return smallest }
                do {
                    _ = try run.compare(candidate, mismatch.index)
                    try run.compareCounters()
                } catch let other as Mismatch {
                    smallest = other
                    isSmaller = true
                    break
                } catch { continue }
            }
        }
        return smallest
    }

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

/// Where program and model first differ.
struct Mismatch: Error {
    let index: Int
    let frame: [UInt8]
    let model: String
    let program: String

    var text: String {
        """
          frame   \(hex(frame))
          model   \(model)
          program \(program)
        """
    }
}

func hex(_ bytes: [UInt8]) -> String {
    bytes.map { byte in
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
    }.joined()
}

/// The program with tables of its own, and the model with what it expects the program to count.
private struct Run {
    private let plane: XDPPlane
    private var tables: Model.Tables
    private var verdicts: [UInt32: martlet_count] = [:]
    private var services: [UInt32: martlet_traffic] = [:]
    private var backends: [UInt32: martlet_traffic] = [:]
    private var last: [UInt8] = []

    /// Where a test run says that its packets come from: the loopback.
    private static let ingress: UInt32 = 1

    init(_ world: World) throws {
        plane = try XDPPlane(takingOver: PinDirectory("/sys/fs/bpf/martlet-no-such"))
        tables = world.tables
        try world.write(into: plane)
    }

    /// Runs one frame through both; returns the verdict that they agree on.
    mutating func compare(_ frame: [UInt8], _ index: Int) throws -> martlet_verdict {
        let expected = decide(frame, from: Self.ingress, by: tables)
        if expected.verdict == MARTLET_REPLY_TOO_BIG {
            // Each such packet finds a whole budget.
            try plane.tables.errorBudget.setPerCPU(martlet_budget(), for: 0)
        }
        let result = try plane.program.run(on: frame)
        take(expected, bytes: frame.count)
        last = frame
        guard result.action == code(expected.action), result.packet == expected.frame else {
            throw Mismatch(
                index: index, frame: frame,
                model: "\(name(expected.verdict)) \(expected.action) \(hex(expected.frame))",
                program: "action \(result.action) \(hex(result.packet)); counted: \(counted())")
        }
        return expected.verdict
    }

    private mutating func take(_ outcome: Outcome, bytes: Int) {
        verdicts[outcome.verdict.rawValue, default: martlet_count()] += bytes
        let flows: UInt64 = outcome.isNewFlow ? 1 : 0
        if let service = outcome.service {
            services[service, default: martlet_traffic()].add(bytes, flows)
        }
        if let backend = outcome.backend {
            backends[backend, default: martlet_traffic()].add(bytes, flows)
        }
        if let note = outcome.note { tables.fragments[note.key] = note.value }
    }

    /// Compares what was counted since the beginning.
    func compareCounters() throws {
        for number in 0..<MARTLET_VERDICT_COUNT.rawValue {
            let program = try plane.tables.verdictCounters.perCPU(number)
                .reduce(into: martlet_count()) { $0.add($1.packets, $1.bytes) }
            let model = verdicts[number] ?? martlet_count()
            if program.packets != model.packets || program.bytes != model.bytes {
                throw mismatch(name(martlet_verdict(number)), "\(model)", "\(program)")
            }
        }
        try compare(services, plane.tables.serviceCounters, "service", 1...64)
        try compare(backends, plane.tables.backendCounters, "backend", 1...64)
    }

    private func compare(
        _ expected: [UInt32: martlet_traffic], _ map: borrowing Map<UInt32, martlet_traffic>,
        _ kind: String, _ numbers: ClosedRange<UInt32>
    ) throws {
        for number in numbers {
            let program = try map.perCPU(number).reduce(into: martlet_traffic()) {
                $0.packets += $1.packets
                $0.bytes += $1.bytes
                $0.flows += $1.flows
            }
            let model = expected[number] ?? martlet_traffic()
            if program.packets != model.packets || program.bytes != model.bytes
                || program.flows != model.flows
            {
                throw mismatch("\(kind) \(number)", "\(model)", "\(program)")
            }
        }
    }

    private func mismatch(_ what: String, _ model: String, _ program: String) -> Mismatch {
        Mismatch(
            index: -1, frame: last, model: "counted for \(what): \(model)",
            program: "counted for \(what): \(program)")
    }

    /// What the program has counted, in words.
    private func counted() -> String {
        (0..<MARTLET_VERDICT_COUNT.rawValue).compactMap { number in
            let counts = try? plane.tables.verdictCounters.perCPU(number)
            let packets = counts?.reduce(0) { $0 + $1.packets } ?? 0
            let model = verdicts[number]?.packets ?? 0
            return packets == model
                ? nil : "\(name(martlet_verdict(number))) \(packets), not \(model)"
        }.joined(separator: ", ")
    }
}

/// The name of a verdict, as the counters have it.
public func name(_ verdict: martlet_verdict) -> String {
    unsafe martlet_verdict_name(verdict.rawValue).map { unsafe String(cString: $0) } ?? "none"
}

private func code(_ action: Outcome.Action) -> UInt32 {
    switch action {
    case .drop: 1
    case .pass: 2
    case .transmit: 3
    case .redirect: 4
    }
}

extension martlet_count {
    fileprivate mutating func add(_ packets: UInt64, _ bytes: UInt64) {
        self.packets += packets
        self.bytes += bytes
    }

    fileprivate static func += (left: inout martlet_count, bytes: Int) {
        left.add(1, UInt64(bytes))
    }
}

extension martlet_traffic {
    fileprivate mutating func add(_ bytes: Int, _ flows: UInt64) {
        packets += 1
        self.bytes += UInt64(bytes)
        self.flows += flows
    }
}
