import Balancing
import FoundationEssentials
import HealthChecks
import Logging
import Packets
import Synchronization

@testable import Control

/// A controller with a clock, a log and a state of its own, over a ``FakePlane``.
final class Stage {
    static let slots = 64

    let plane = FakePlane()
    let store = MemoryStore()
    let log = LogBook()
    private let clock = TestClock()
    private(set) var desired: DesiredState
    private(set) var controller: Controller<FakePlane>

    /// All backends are reachable and up.
    init(
        _ desired: DesiredState = web(check: nil), from configuration: Configuration? = nil
    ) async throws {
        self.desired = desired
        controller = try Self.controller(desired, configuration, plane, store, log, clock)
        try await begin()
    }

    private static func controller(
        _ desired: DesiredState, _ configuration: Configuration?, _ plane: FakePlane,
        _ store: MemoryStore, _ log: LogBook,
        _ clock: TestClock
    ) throws -> Controller<FakePlane> {
        try Controller(
            desired, from: configuration, on: plane,
            logger: Logger(label: "tests", factory: { _ in LogBookHandler(book: log) }),
            store: store, slotCount: slots, now: { clock.now }, uptime: { clock.uptime })
    }

    private func begin() async throws {
        try await controller.start()
        let most = desired.services.map(\.backends.count).max() ?? 0
        for place in 0..<most { await tell(result(true), of: place) }
        // Last and all at once: so no slot has had another owner before.
        let known = desired.services.flatMap(\.backends).map(\.address)
        await controller.take(
            Dictionary(known.map { ($0, hop(1)) }, uniquingKeysWith: { first, _ in first }))
        _ = plane.takeSteps()
        _ = plane.takeFreezing()
        _ = plane.takeLatencies()
        _ = log.take()
    }

    /// The controller is killed, and another one starts, with `change` of the file.
    ///
    /// - Parameter probed: The places of the backends whose first probe succeeds.
    func restart(
        probed: Set<Int> = [], _ change: (inout DesiredState) -> Void = { _ in }
    ) async throws {
        change(&desired)
        controller = try Self.controller(desired, nil, plane, store, log, clock)
        try await controller.start()
        let known = desired.services.flatMap(\.backends).map(\.address)
        await controller.take(
            Dictionary(known.map { ($0, hop(1)) }, uniquingKeysWith: { first, _ in first }))
        for place in probed.sorted() { await tell(result(true), of: place) }
    }

    /// The controller goes on with `change` of the file.
    func reconfigure(
        probed: Set<Int> = [], _ change: (inout DesiredState) -> Void
    ) async throws {
        change(&desired)
        try await controller.reconfigure(to: desired)
        let known = desired.services.flatMap(\.backends).map(\.address)
        await controller.take(
            Dictionary(known.map { ($0, hop(1)) }, uniquingKeysWith: { first, _ in first }))
        for place in probed.sorted() { await tell(result(true), of: place) }
    }

    /// Tells as many results of probes of a backend as it takes to change its state.
    func tell(_ result: ProbeResult, of place: Int) async {
        for service in desired.services where place < service.backends.count {
            let backend = service.backends[place]
            guard let check = service.healthCheck(of: backend) else { continue }
            for _ in 0..<2 {
                await controller.take(
                    result, of: ProbeTarget(check: check, address: backend.address))
            }
        }
    }

    /// Lets time pass, and has the controller see to it once, when it has.
    func pass(_ duration: Duration) async throws {
        clock.advance(duration)
        await controller.settle()
        try await controller.tend()
    }

    /// What the daily second of a controller is.
    func tick(_ seconds: Int = 1) async throws {
        for _ in 0..<seconds { try await pass(.seconds(1)) }
    }

    /// Has the date change, but no time pass.
    func setDate(by duration: Duration) { clock.setDate(by: duration) }

    var now: Date { clock.now }

    func status(_ service: Int = 0) async throws -> Status.Service {
        try await controller.status(on: []).services[service]
    }

    /// How many slots of the first service are in each phase.
    func phases() -> [Slot.Phase: Int] {
        let slots = plane.contents().services.min { $0.key < $1.key }?.value.slots ?? []
        return slots.reduce(into: [:]) { $0[$1.phase, default: 0] += 1 }
    }

    func number(_ address: IPAddress) -> BackendID? {
        plane.contents().backends.filter { $0.value.address == address }.keys.min()
    }

    /// Opens flows with these numbers, and tells who has each.
    func open(_ numbers: Range<Int>) -> [Int: IPAddress] {
        Dictionary(
            uniqueKeysWithValues: numbers.compactMap { number in
                plane.send(FakeFlows.Flow(number: number), isNew: true).map { (number, $0) }
            })
    }

    /// Sends a packet of each flow, and tells those that another backend got than the one that has
    /// it.
    func broken(_ flows: [Int: IPAddress]) -> [Int] {
        flows.filter { plane.send(FakeFlows.Flow(number: $0.key)) != $0.value }.keys.sorted()
    }

    func end(_ flows: some Sequence<Int>) {
        plane.withFlows { table in
            for number in flows { table.end(FakeFlows.Flow(number: number)) }
        }
    }
}

/// Time that passes when a test says so.
final class TestClock: Sendable {
    private let time = Mutex(
        (date: Date(timeIntervalSince1970: 1_800_000_000), uptime: Duration.zero))

    var now: Date { time.withLock(\.date) }
    var uptime: Duration { time.withLock(\.uptime) }

    func advance(_ duration: Duration) {
        time.withLock {
            $0.date += duration / .seconds(1)
            $0.uptime += duration
        }
    }

    func setDate(by duration: Duration) { time.withLock { $0.date += duration / .seconds(1) } }
}

/// Keeps a state as long as the test.
final class MemoryStore: StateStore {
    struct Full: Error, CustomStringConvertible { let description = "no space left" }

    private let state = Mutex<(saved: State?, isFull: Bool)>((nil, false))

    func load() -> State? { state.withLock(\.saved) }

    func save(_ new: State) throws {
        try state.withLock { state in
            if state.isFull { throw Full() }
            state.saved = new
        }
    }

    func fill() { state.withLock { $0.isFull = true } }
}

/// What was logged.
final class LogBook: Sendable {
    fileprivate let lines = Mutex<[String]>([])

    func add(_ line: String) { lines.withLock { $0.append(line) } }

    /// The lines since this was last asked, each with its level.
    func take() -> [String] {
        lines.withLock { lines in
            defer { lines = [] }
            return lines
        }
    }
}

extension LogBook {
    /// Whether a line that was not taken yet has this in it.
    func contains(_ text: String) -> Bool {
        lines.withLock { $0.contains { $0.contains(text) } }
    }
}

struct LogBookHandler: LogHandler {
    let book: LogBook
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .notice

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { book.add("\(event.level): \(event.message)") }
}
