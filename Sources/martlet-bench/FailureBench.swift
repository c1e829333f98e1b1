import BPF
import Balancing
import Control
import Dispatch
import HealthChecks
import Logging
import Packets
import Synchronization
import XDPPlane

/// How long a controller takes from the probe that decides on a backend to tables without it: of
/// services on ports of one VIP that all have it.
final class FailureBench: Sendable {
    private let services: Int
    private let plane: WatchedPlane
    private let controller: Controller<WatchedPlane>
    private let time: Time
    private let failing: ProbeTarget
    private let other: ProbeTarget

    private static let check = HealthCheck(probe: .tcp, port: 8080, isPortFixed: true)
    private static let setup = Setup(family: .v4, forwarding: .ipip, backends: 20)

    init(services: Int) throws {
        let (setup, check) = (Self.setup, Self.check)
        // 1 to 16 for each, in an order that looks like none.
        let backends = setup.addresses.enumerated().map {
            Backend(name: "server-\($0)", address: $1, weight: UInt16($0 * 7 % 16 + 1))
        }
        let plane = WatchedPlane(
            try XDPPlane(takingOver: PinDirectory("/sys/fs/bpf/martlet-no-such")))
        let time = Time()
        controller = try Controller(
            DesiredState(
                interfaces: [],
                services: (0..<services).map { number in
                    Service(
                        name: "web-\(number)", vip: VIP(setup.vip),
                        ports: Ports(UInt16(1 + number)),
                        forwarding: .ipip, healthCheck: check, backends: backends)
                }), on: plane, logger: Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() },
            uptime: { time.passed })
        self.services = services
        self.plane = plane
        self.time = time
        failing = ProbeTarget(check: check, address: setup.addresses[10])
        other = ProbeTarget(check: check, address: setup.addresses[11])
    }

    func measure(rounds: Int) throws -> [Report.Time] {
        try wait { try await self.start() }
        let kinds = [
            ("dies", ProbeResult(isSuccess: false, isAnswered: false, finding: "", latency: .zero)),
            ("refuses", ProbeResult(isSuccess: false, finding: "", latency: .zero)),
        ]
        return try kinds.flatMap { kind, result in
            let reactions = try (0..<rounds).map { _ in
                try wait { try await self.fail(by: result) }
            }
            let what = "1 of 20 backends \(kind), \(services) service\(services == 1 ? "" : "s")"
            return [
                Report.Time("\(what): tables are live", reactions.map(\.live)),
                Report.Time("\(what): writing them", reactions.map(\.writing)),
                Report.Time("\(what): all of it", reactions.map(\.all)),
            ]
        }
    }

    private struct Reaction {
        /// Until the last slot was written.
        var live: Duration
        var writing: Duration
        var all: Duration
    }

    private func start() async throws {
        try await controller.start()
        let hop = Self.setup.hop
        await controller.take(
            Dictionary(uniqueKeysWithValues: Self.setup.addresses.map { ($0, .reachable(hop)) }))
        for address in Self.setup.addresses {
            await succeed(ProbeTarget(check: Self.check, address: address))
        }
        try await settle()
    }

    private func fail(by result: ProbeResult) async throws -> Reaction {
        // Silence tells something only while others answer.
        for _ in 1..<Self.check.fall {
            await succeed(other)
            await controller.take(result, of: failing)
        }
        await succeed(other)
        plane.watch.withLock { $0 = WatchedPlane.Watch() }
        let clock = ContinuousClock()
        let start = clock.now
        await controller.take(result, of: failing)
        let end = clock.now
        let watch = plane.watch.withLock(\.self)
        guard watch.tables == services, let last = watch.last, try owned() == 0 else {
            throw Failure("measure", "a failure", because: "it is in some table", cure: nil)
        }
        let reaction = Reaction(live: last - start, writing: watch.writing, all: end - start)
        await succeed(failing)
        try await settle()
        guard try owned() > 0 else {
            throw Failure("measure", "a failure", because: "it did not return", cure: nil)
        }
        return reaction
    }

    private func succeed(_ target: ProbeTarget) async {
        let success = ProbeResult(isSuccess: true, finding: "", latency: .milliseconds(1))
        for _ in 0..<Self.check.rise { await controller.take(success, of: target) }
    }

    /// Every slot through all its phases.
    private func settle() async throws {
        for _ in 0..<4 {
            time.pass(.seconds(7200))
            try await controller.tend()
        }
    }

    /// How many slots the backend that fails has.
    private func owned() throws -> Int {
        let plane = plane.plane
        let address = failing.address
        let contents = try plane.contents()
        let numbers = Set(contents.backends.filter { $0.value.address == address }.keys)
        return contents.services.values.reduce(0) { count, service in
            count + service.slots.count { $0.owner.map(numbers.contains) ?? false }
        }
    }

    /// Waits in this thread, of which the network is: that of others is another one.
    private func wait<Result: Sendable>(
        for work: @escaping @Sendable () async throws -> Result
    ) throws -> Result {
        let done = DispatchSemaphore(value: 0)
        let outcome = Mutex<Swift.Result<Result, any Error>?>(nil)
        let task = Task {
            let result: Swift.Result<Result, any Error>
            do { result = .success(try await work()) } catch { result = .failure(error) }
            outcome.withLock { $0 = result }
            done.signal()
        }
        defer { task.cancel() }
        done.wait()
        guard let result = outcome.withLock(\.self) else { throw CancellationError() }
        return try result.get()
    }
}

/// A clock that passes when it is told to.
private final class Time: Sendable {
    private let seconds = Mutex(Duration.zero)

    var passed: Duration { seconds.withLock(\.self) }
    func pass(_ duration: Duration) { seconds.withLock { $0 += duration } }
}

/// The plane, and when its tables were written.
private final class WatchedPlane: DataPlane {
    struct Watch {
        var tables = 0
        var writing = Duration.zero
        var last: ContinuousClock.Instant?
    }

    let plane: XDPPlane
    let watch = Mutex(Watch())

    init(_ plane: XDPPlane) { self.plane = plane }

    func apply(_ step: Step) throws {
        guard case .writeSlots = step else { return try plane.apply(step) }
        let start = ContinuousClock.now
        try plane.apply(step)
        let end = ContinuousClock.now
        watch.withLock { watch in
            watch.tables += 1
            watch.writing += end - start
            watch.last = end
        }
    }

    func contents() throws -> PlaneContents { try plane.contents() }
    func counters() throws -> PlaneCounters { try plane.counters() }
    func natUse(at addresses: Set<NATAddressID>) throws -> NATUse {
        try plane.natUse(at: addresses)
    }
    func sweep(_ orders: SweepOrders) throws -> SweepReport { try plane.sweep(orders) }
    func flows(_ query: FlowQuery) throws -> RecordedFlows { try plane.flows(query) }
    func flowEvents() throws -> FlowEvents { try plane.flowEvents() }
    func freeze(_ isFrozen: Bool) throws { try plane.freeze(isFrozen) }
    func setLatency(_ latency: [BackendID: UInt32]) throws { try plane.setLatency(latency) }
    func loads() throws -> [BackendID: MeasuredLoad] { try plane.loads() }
}
