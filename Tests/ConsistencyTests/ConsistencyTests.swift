import Balancing
import CDatapath
import CSimulation
import FoundationEssentials
import Testing

/// docs/consistency.md, kept to by the program's choice of backends, the sweep, the plans and the
/// controller together, whatever befalls them.
@Suite(.serialized) struct ConsistencyTests {
    /// So many flows are opened: more with MARTLET_CONSISTENCY_FLOWS.
    private static let flows =
        ProcessInfo.processInfo.environment["MARTLET_CONSISTENCY_FLOWS"].flatMap { UInt64($0) }
        ?? 2_050_000
    private static let load = ProcessInfo.processInfo.environment["MARTLET_CONSISTENCY_LOAD"]
    private static let seed =
        ProcessInfo.processInfo.environment["MARTLET_CONSISTENCY_SEED"].flatMap { UInt64($0) }

    /// How many flows there are at a time, and how much room the flow table has for them.
    enum Load: CaseIterable {
        /// So much that no flow is ever refused its entry.
        case light
        /// So little that the table is full for most of the time.
        case heavy
        /// So few flows that a backend is often left with one or none.
        case sparse

        /// At a time.
        var flows: Int {
            switch self {
            case .light: 32_000
            case .heavy: 24_000
            case .sparse: 48
            }
        }
        /// How many of all flows have it.
        var share: Double {
            switch self {
            case .light: 0.78
            case .heavy: 0.22
            case .sparse: 0.002
            }
        }
        var bucketBits: Int {
            switch self {
            case .light: 14
            case .heavy: 10
            case .sparse: 12
            }
        }
    }

    @Test(arguments: Load.allCases)
    func `no change cuts a flow that could have lived`(load: Load) async throws {
        guard Self.load == nil || Self.load == "\(load)" else { return }
        var seed = Self.seed ?? UInt64.random(in: 0..<1 << 32)
        var opened: UInt64 = 0
        while Double(opened) < Double(Self.flows) * load.share {
            let left = Double(Self.flows) * load.share - Double(opened)
            opened += try await run(seed: seed, load, flows: UInt64(left))
            seed += 1
        }
    }

    /// Until about so many flows were opened, or enough has happened for one seed.
    private func run(seed: UInt64, _ load: Load, flows: UInt64) async throws -> UInt64 {
        let scenario = try await Scenario(
            seed: seed, flows: load.flows, slotBits: 10, bucketBits: load.bucketBits)
        let plane = scenario.plane
        var changes = 0
        while changes < 25 || changes < 60 && simulation_tally(plane.world).opened < flows {
            await scenario.change()
            changes += 1
            if simulation_tally(plane.world).cut > 0 { break }
        }
        let words = "\(load), seed \(seed)"
        let cut = simulation_first_cut(plane.world)
        try #require(
            simulation_tally(plane.world).cut == 0,
            "\(words): \(describe(cut)) after \(scenario.history)")
        // A table that is always full has flows wait for their entries forever.
        await scenario.rest(isQuiet: load == .heavy)
        let tally = simulation_tally(plane.world)
        print("\(words):", summary(of: plane))
        #expect(tally.cut == 0, "\(words): \(describe(cut)) after \(scenario.history)")
        if plane.count(MARTLET_FLOW_REFUSED) + plane.count(MARTLET_FLOW_FROZEN) == 0 {
            #expect(tally.handshakes == 0 && tally.repetitions == 0, "\(words)")
            #expect(tally.unremembered == 0, "\(words)")
        }
        let phases = Dictionary(grouping: plane.slots(of: Scenario.web), by: \.phase)
        #expect(phases.mapValues(\.count) == [.settled: 1 << 10], "\(words)")
        #expect(plane.entryCount(of: Scenario.web) == 0, "\(words)")
        #expect(!plane.isFrozen, "\(words)")
        return tally.opened
    }

    @Test func `a flow table that a killed controller left frozen thaws when it has room`()
        async throws
    {
        let scenario = try await Scenario(seed: 1, flows: 48, slotBits: 10, bucketBits: 12)
        await scenario.pass(2 * Scenario.longestTick)
        try scenario.plane.freeze(true)
        await scenario.restartAsItIs()
        await scenario.pass(Scenario.longestTick)
        #expect(!scenario.plane.isFrozen)
    }

    private func summary(of plane: SimulatedPlane) -> String {
        let tally = simulation_tally(plane.world)
        return """
            \(tally.opened) flows, \(tally.packets) packets, asked \(tally.checked) times in \
            \(plane.steps) steps and \(plane.sweeps) sweeps, \(tally.excused) excused, \
            \(tally.forgotten) silent for too long; entries refused \
            \(plane.count(MARTLET_FLOW_REFUSED)), evicted \(plane.count(MARTLET_FLOW_EVICTED)), \
            frozen out \(plane.count(MARTLET_FLOW_FROZEN)); handshakes lost \
            \(tally.handshakes), FINs astray \(tally.repetitions)
            """
    }

    private func describe(_ cut: simulation_cut) -> String {
        let slot = Slot(word: cut.word)
        return "a flow of backend \(cut.expected) goes to \(cut.got), silent for \(cut.silence) "
            + "ms, slot \(cut.slot) of service \(cut.service) is \(slot.phase): "
            + "owner \(slot.owner as Any), former \(slot.former as Any), "
            + "entry \(String(cut.entry, radix: 16))"
    }
}
