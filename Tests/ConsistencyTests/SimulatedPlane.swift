import Balancing
import CDatapath
import CSimulation
import Packets
import SeededRandom
import XDPPlane

/// A plane that is the program's choice of backends over tables in memory, and that is asked at
/// every moment whether a flow is cut.
///
/// Packets arrive between any two things that a controller does, and in the middle of some.
final class SimulatedPlane: DataPlane, @unchecked Sendable {
    /// The controller is dead: it was killed when it asked for one step too many.
    struct Killed: Error {}

    let world: OpaquePointer
    private var held = PlaneContents()
    /// Steps, and parts of steps, that are done until the controller is killed.
    private var stepsUntilDeath = Int.max
    private var random: SeededRandom
    /// How many flows send something between two steps.
    var packetsBetweenSteps: UInt32 = 16
    private(set) var steps = 0
    private(set) var freezes = 0
    private(set) var isFrozen = false
    private(set) var sweeps = 0
    private(set) var isDead = false
    var milliseconds: UInt64 = 0

    init(_ habits: [simulation_habits], flows: Int, bucketBits: Int, seed: UInt64) {
        world = simulation_create(
            habits, UInt32(habits.count), UInt32(flows), UInt32(bucketBits), seed)
        random = SeededRandom(seed: seed)
    }

    deinit { simulation_destroy(world) }

    /// The next controller lives for so many steps.
    func kill(after steps: Int?) {
        stepsUntilDeath = steps ?? .max
        isDead = false
    }

    private func meanwhile() {
        simulation_nudge(world, packetsBetweenSteps)
        simulation_check(world)
    }

    /// One more thing is about to be done.
    private func live() throws {
        guard !isDead, stepsUntilDeath > 0 else {
            isDead = true
            throw Killed()
        }
        stepsUntilDeath -= 1
    }

    // MARK: DataPlane

    func contents() -> PlaneContents { held }

    func counters() -> PlaneCounters {
        PlaneCounters(verdicts: [], services: [:], backends: [:])
    }

    func natUse(at addresses: Set<NATAddressID>) -> NATUse { NATUse() }

    func loads() -> [BackendID: MeasuredLoad] { [:] }

    func setLatency(_ latency: [BackendID: UInt32]) {}

    func freeze(_ isFrozen: Bool) throws {
        try live()
        freezes += isFrozen ? 1 : 0
        self.isFrozen = isFrozen
        simulation_freeze(world, isFrozen ? 1 : 0)
    }

    func flowEvents() throws -> FlowEvents {
        try live()
        return FlowEvents(
            made: count(MARTLET_FLOW_MADE), refused: count(MARTLET_FLOW_REFUSED),
            evicted: count(MARTLET_FLOW_EVICTED), frozen: count(MARTLET_FLOW_FROZEN))
    }

    func count(_ event: martlet_flow_event) -> UInt64 {
        simulation_event_count(world, event.rawValue)
    }

    func sweep(_ orders: SweepOrders) throws -> SweepReport {
        try live()
        simulation_nudge(world, packetsBetweenSteps)
        sweeps += 1
        let limit = Int(MARTLET_BACKEND_LIMIT.rawValue)
        let known = Int(SIMULATION_BACKENDS.rawValue)
        let owners =
            (0..<known).map { simulation_service_of(world, UInt32($0)) }
            + Array(repeating: 0, count: limit - known)
        let now = FlowEpoch(
            (milliseconds * 1_000_000) >> UInt64(MARTLET_FLOW_TICK_SHIFT.rawValue))
        var sweep = FlowSweep(orders, owners: owners, now: now)
        sweep.run(over: entries, count: entries.count)
        for backend in 0..<known where sweep.ended(of: backend) > 0 {
            simulation_add_flows(world, UInt32(backend), 0 &- sweep.ended(of: backend))
        }
        meanwhile()
        return sweep.result()
    }

    func flows(_ query: FlowQuery) -> RecordedFlows {
        var scan = FlowScan(query)
        let entries = entries
        let now = FlowEpoch(
            (milliseconds * 1_000_000) >> UInt64(MARTLET_FLOW_TICK_SHIFT.rawValue))
        scan.run(over: entries, count: entries.count, now: now) {
            simulation_service_of(world, UInt32($0)) != 0
        }
        let isLast = scan.position >= entries.count
        return RecordedFlows(flows: scan.flows, next: isLast ? nil : UInt64(scan.position))
    }

    private var entries: Entries {
        Entries(
            words: simulation_entries(world), count: Int(simulation_entry_count(world)))
    }

    func apply(_ step: Step) throws {
        try live()
        steps += 1
        switch step {
        case .writeSlots(let service, let changes): try write(changes, of: service)
        default:
            held.apply(step)
            show(step)
        }
        meanwhile()
    }

    /// In two parts, between which packets arrive, or the controller is killed.
    private func write(_ changes: [SlotChange], of service: ServiceID) throws {
        let parts = Int.random(in: 0...changes.count, using: &random)
        let slots = simulation_slots(world, service.number)
        func write(_ part: ArraySlice<SlotChange>) {
            for change in part { slots?[change.slot] = change.to.word }
            held.apply(.writeSlots(service, Array(part)))
        }
        write(changes[..<parts])
        meanwhile()
        try live()
        write(changes[parts...])
    }

    /// Brings the tables up to date.
    private func show(_ step: Step) {
        switch step {
        case .addBackend(let number, let backend):
            simulation_set_backend(world, UInt32(number.number), backend.service.number)
            show(backend.load, of: number)
        case .setLoad(let number, let load): show(load, of: number)
        case .removeBackend(let number):
            simulation_set_backend(world, UInt32(number.number), 0)
        case .setTurns(let service, let length):
            simulation_set_turns(world, service.number, UInt32(length))
        case .setKeys(_, let entry):
            simulation_set_service(world, entry.service.number, flags(of: entry.selection))
        case .forgetFlows(let backends):
            for (backend, ended) in removeEntries(of: backends, in: entries).enumerated()
            where ended > 0 {
                simulation_add_flows(world, UInt32(backend), 0 &- ended)
            }
        default: break
        }
    }

    private func show(_ load: PlaneContents.Load, of number: BackendID) {
        simulation_set_load(
            world, UInt32(number.number), load.limit, UInt32(load.weight),
            load.isClosed ? 1 : 0)
    }

    private func flags(of selection: Selection) -> UInt32 {
        var flags: UInt32 = selection.tracks ? MARTLET_SERVICE_TRACKS.rawValue : 0
        switch selection.scheduler {
        case .maglev: break
        case .roundRobin: flags |= MARTLET_SERVICE_ROUND_ROBIN.rawValue
        case .leastConnections, .responseTime: flags |= MARTLET_SERVICE_LEAST_COST.rawValue
        }
        return flags
    }

    // MARK: What the test asks

    /// The numbers of the backends that have this address, one for each service.
    func numbers(of address: IPAddress) -> [BackendID] {
        held.backends.filter { $0.value.address == address }.map(\.key)
    }

    func slots(of service: ServiceID) -> [Slot] { held.services[service]?.slots ?? [] }

    /// Entries of the flow table that name a backend of the service.
    func entryCount(of service: ServiceID) -> Int {
        let entries = entries
        return (0..<entries.count).count { index in
            let entry = FlowEntry(word: entries[index])
            return entry.word != 0
                && simulation_service_of(world, UInt32(entry.backend)) == service.number
        }
    }
}

/// The flow table, which belongs to the world.
private struct Entries: SharedWords {
    let words: UnsafeMutablePointer<UInt64>
    let count: Int

    subscript(index: Int) -> UInt64 { words[index] }

    func replace(_ old: UInt64, with new: UInt64, at index: Int) -> Bool {
        guard words[index] == old else { return false }
        words[index] = new
        return true
    }
}
