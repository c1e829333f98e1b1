import Balancing
import CSimulation
import Control
import FoundationEssentials
import HealthChecks
import Logging
import Packets
import SeededRandom
import Synchronization

/// Time that passes when it is told to.
final class ToldClock: Sendable {
    private let milliseconds = Mutex<UInt64>(0)

    var now: UInt64 { milliseconds.withLock { $0 } }
    var date: Date { Date(timeIntervalSince1970: 1_000_000 + Double(now) / 1000) }

    func advance(by duration: UInt64) { milliseconds.withLock { $0 += duration } }
}

/// What controllers leave to each other.
final class MemoryStore: StateStore {
    private let state = Mutex<State?>(nil)

    func load() -> State? { state.withLock { $0 } }
    func save(_ state: State) { self.state.withLock { $0 = state } }
}

/// A plane, its controllers, one after the other, its backends, and all that befalls them.
final class Scenario {
    /// What a backend's host says to probes.
    enum Condition: CaseIterable { case up, refusing, silent }

    struct Server {
        let name: String
        let address: IPAddress
        var weight: UInt16 = 1
        var isConfigured: Bool
        var condition = Condition.up
        var isReachable = true
    }

    static let check = HealthCheck(probe: .tcp, port: 80, rise: 2, fall: 2)
    static let hold: UInt64 = 60_000
    static let keepAlive: UInt64 = 30_000
    static let longestTick: UInt64 = 10_000
    static let web = ServiceID(1)

    let plane: SimulatedPlane
    private let clock = ToldClock()
    private let store = MemoryStore()
    private(set) var servers: [Server]
    private var turning = Scheduler.roundRobin
    private var controller: Controller<SimulatedPlane>
    private var random: SeededRandom
    private let slotBits: Int
    /// What has been done, for whoever has to find out what went wrong.
    private(set) var history: [String] = []

    init(
        seed: UInt64, flows: Int, slotBits: Int, bucketBits: Int
    ) async throws {
        self.slotBits = slotBits
        random = SeededRandom(seed: seed)
        let silence = UInt32(2 * Self.keepAlive - 1000)
        plane = SimulatedPlane(
            [(1, false), (2, false), (1, false), (3, true)].map { service, isUDP in
                simulation_habits(
                    service: service, is_udp: isUDP ? 1 : 0, slot_bits: UInt32(slotBits),
                    silence: silence)
            }, flows: flows, bucketBits: bucketBits, seed: seed)
        servers = (1...8).map { number in
            Server(
                name: "server-\(number)",
                address: .v4(IPv4Address(0x0A00_0000 + UInt32(number))),
                isConfigured: number <= 5)
        }
        controller = try Self.controller(
            for: Self.desired(servers, turning), on: plane, store, clock, slotBits)
        try await takeOver()
    }

    private static func controller(
        for desired: DesiredState, on plane: SimulatedPlane, _ store: MemoryStore,
        _ clock: ToldClock, _ slotBits: Int
    ) throws -> Controller<SimulatedPlane> {
        try Controller(
            desired, on: plane,
            logger: Logger(label: "consistency", factory: { _ in SwiftLogNoOpLogHandler() }),
            store: store, slotCount: 1 << slotBits, now: { clock.date },
            uptime: { .seconds(clock.date.timeIntervalSince1970) })
    }

    private static func desired(_ servers: [Server], _ turning: Scheduler) -> DesiredState {
        let vip = VIP(IPAddress.v4(IPv4Address(0x0A00_0064)))
        let backends = servers.filter(\.isConfigured).map {
            Backend(name: $0.name, address: $0.address, weight: $0.weight)
        }
        func service(
            _ name: String, _ port: UInt16, _ transport: Transport = .tcp,
            _ scheduler: Scheduler = .maglev, idle: Duration = .seconds(65)
        ) -> Service {
            Service(
                name: name, vip: vip, ports: Ports(port), transport: transport,
                scheduler: scheduler, forwarding: .l2DSR, hold: .milliseconds(Self.hold),
                keepAlive: .milliseconds(Self.keepAlive), idleTimeout: idle,
                healthCheck: Self.check, backends: backends)
        }
        return DesiredState(
            interfaces: ["eth1"],
            services: [
                service("web", 80), service("turns", 81, .tcp, turning),
                service("names", 53, .udp, idle: .seconds(60)),
            ])
    }

    // MARK: - Controllers

    /// The controller, which has just been made, learns what there is to know.
    private func takeOver() async throws {
        try await controller.start()
        try await hearOfAll()
    }

    private func hearOfAll() async throws {
        await controller.take(
            Dictionary(uniqueKeysWithValues: servers.map { ($0.address, way(to: $0)) }))
        for index in servers.indices.shuffled(using: &random) { await probe(index, times: 2) }
        showAlive()
    }

    /// A new controller instead of the one that there is, killed or not.
    private func restart(killedAfter steps: Int? = nil) async {
        let desired = Self.desired(servers, turning)
        do {
            plane.kill(after: steps)
            controller = try Self.controller(for: desired, on: plane, store, clock, slotBits)
            try await takeOver()
        } catch {
            history.append("  killed at the start")
        }
        guard plane.isDead || steps != nil else { return }
        await restart()
    }

    private func way(to server: Server) -> Reachability {
        guard server.isReachable else { return .unreachable("no route") }
        return .reachable(
            NextHop(
                egress: Egress(
                    index: 2, name: "eth1", address: MACAddress(0x0200_0000_0001), mtu: 1500),
                neighbour: MACAddress(0x0200_0000_0100), source: server.address))
    }

    private func probe(_ index: Int, times: Int) async {
        let server = servers[index]
        guard server.isConfigured else { return }
        for _ in 0..<times { await probe(index, finding: server.condition) }
    }

    private func probe(_ index: Int, finding condition: Condition) async {
        await controller.take(
            ProbeResult(
                isSuccess: condition == .up, isAnswered: condition != .silent,
                finding: "\(condition)", latency: .milliseconds(1)),
            of: ProbeTarget(check: Self.check, address: servers[index].address))
    }

    /// Whose flows live: not those of a dead host, nor those that a deadline has cut.
    private func showAlive() {
        let drains = store.load()?.drains ?? []
        let cut = Set(
            drains.filter { $0.cut != nil || $0.deadline.map { $0 <= clock.date } ?? false }
                .map { "\($0.service)/\($0.backend)" })
        let names = [1: "web", 2: "turns", 3: "names"]
        for server in servers {
            for number in plane.numbers(of: server.address) {
                let service = simulation_service_of(plane.world, UInt32(number.number))
                let isCut = cut.contains("\(names[Int(service)] ?? "")/\(server.name)")
                simulation_set_alive(
                    plane.world, UInt32(number.number),
                    server.condition == .silent || isCut ? 0 : 1)
            }
        }
    }

    // MARK: - Time

    /// Lets time pass, with what belongs to it.
    func pass(_ duration: UInt64, tick: UInt64 = longestTick) async {
        var left = duration
        while left > 0 {
            let step = min(left, tick)
            left -= step
            clock.advance(by: step)
            plane.milliseconds = clock.now
            showAlive()
            simulation_run(plane.world, clock.now)
            do { try await controller.tend() } catch {
                history.append("  killed while it tended")
                await restart()
            }
            simulation_check(plane.world)
        }
    }

    /// No change for so long that whatever was begun before comes to its end.
    ///
    /// - Parameter isQuiet: Whether no flow is opened meanwhile.
    func rest(isQuiet: Bool) async {
        history.append("rest")
        simulation_reopen(plane.world, isQuiet ? 0 : 1)
        await pass(Self.hold + 2 * Self.keepAlive + 8 * 60_000)
    }

    // MARK: - Changes

    /// Something happens, maybe to a controller that is about to be killed.
    func change() async {
        let isFatal = chance(4)
        if isFatal {
            let steps = Int.random(in: 0...12, using: &random)
            history.append("is to be killed after \(steps) steps")
            plane.kill(after: steps)
        }
        let changes = [
            configure, configure, drain, drain, undrain, fail, fail, recover, recover,
            loseWay, fluke, restartAsItIs, flood,
        ]
        await changes[Int.random(in: changes.indices, using: &random)]()
        simulation_check(plane.world)
        if isFatal {
            await pass(UInt64.random(in: 0...3000, using: &random))
            await restart()
        }
        showAlive()
        await pass(someTime())
    }

    private func someTime() -> UInt64 {
        let spans: [UInt64] = [
            1000, 5000, 15_000, 60_000, Self.hold + 2000, 2 * Self.keepAlive + 2000, 200_000,
        ]
        return UInt64.random(
            in: 0...spans[Int.random(in: spans.indices, using: &random)],
            using: &random)
    }

    private func chance(_ count: Int) -> Bool { Int.random(in: 0..<count, using: &random) == 0 }

    private func isServing(_ server: Server) -> Bool {
        server.isConfigured && server.weight > 0 && server.condition == .up && server.isReachable
    }

    private func anyServer(_ isSuitable: (Server) -> Bool) -> Int? {
        servers.indices.filter { isSuitable(servers[$0]) }.randomElement(using: &random)
    }

    /// Another file, and a controller that reads it.
    private func configure() async {
        switch Int.random(in: 0..<6, using: &random) {
        case 0: servers.shuffle(using: &random)
        case 1:
            guard let index = anyServer({ !$0.isConfigured }) else { return }
            servers[index].isConfigured = true
            history.append("add \(servers[index].name)")
        case 2:
            let count = servers.count { $0.isConfigured }
            guard count > 2, let index = anyServer(\.isConfigured) else { return }
            servers[index].isConfigured = false
            history.append("remove \(servers[index].name)")
        case 3, 4:
            guard let index = anyServer(\.isConfigured) else { return }
            servers[index].weight = UInt16.random(in: 0...4, using: &random)
            history.append("weigh \(servers[index].name) \(servers[index].weight)")
        default:
            turning =
                [.maglev, .roundRobin, .leastConnections]
                .randomElement(using: &random) ?? .maglev
            history.append("schedule by \(turning)")
        }
        let steps = chance(3) ? Int.random(in: 0...10, using: &random) : nil
        guard chance(2) else { return await restart(killedAfter: steps) }
        await reconfigure(killedAfter: steps)
    }

    /// The controller that there is reads another file.
    private func reconfigure(killedAfter steps: Int?) async {
        history.append("  without a restart")
        plane.kill(after: steps)
        do {
            try await controller.reconfigure(to: Self.desired(servers, turning))
            guard !plane.isDead else { return await restart() }
            try await hearOfAll()
        } catch {
            history.append("  killed while it read the file")
        }
        if steps != nil { await restart() }
    }

    /// A controller like the one before takes its place.
    func restartAsItIs() async {
        history.append("restart")
        await restart()
    }

    private func drain() async {
        guard let index = anyServer(\.isConfigured) else { return }
        let service = ["web", "turns", "names"].randomElement(using: &random) ?? "web"
        let deadline =
            chance(2)
            ? clock.date + Double.random(in: 1...400, using: &random) : nil
        history.append("drain \(service)/\(servers[index].name) until \(deadline as Any)")
        try? await controller.drain(
            BackendReference(service, servers[index].name), deadline: deadline)
    }

    private func undrain() async {
        let drains = store.load()?.drains ?? []
        guard let drain = drains.randomElement(using: &random) else { return }
        history.append("undrain \(drain.service)/\(drain.backend)")
        try? await controller.undrain(BackendReference(drain.service, drain.backend))
    }

    /// The service of a host fails, or the whole host.
    private func fail() async {
        guard servers.count(where: isServing) > 2,
            let index = anyServer({ $0.condition == .up })
        else { return }
        servers[index].condition = chance(2) ? .refusing : .silent
        history.append("\(servers[index].name) is \(servers[index].condition)")
        showAlive()
        await probe(index, times: 3)
    }

    private func recover() async {
        guard let index = anyServer({ $0.condition != .up || !$0.isReachable }) else { return }
        history.append("\(servers[index].name) is up")
        servers[index].condition = .up
        servers[index].isReachable = true
        showAlive()
        await controller.take([servers[index].address: way(to: servers[index])])
        await probe(index, times: 2)
    }

    private func loseWay() async {
        guard servers.count(where: isServing) > 2, let index = anyServer(\.isReachable)
        else { return }
        servers[index].isReachable = false
        history.append("\(servers[index].name) can't be reached")
        await controller.take([servers[index].address: way(to: servers[index])])
    }

    /// A probe that fails for once is no reason for anything.
    private func fluke() async {
        guard let index = anyServer({ $0.condition == .up && $0.isConfigured }) else { return }
        history.append("\(servers[index].name) misses a probe")
        await probe(index, finding: .silent)
        await probe(index, finding: .up)
    }

    private func flood() async {
        let service = UInt32.random(in: 1...3, using: &random)
        let count = UInt32.random(in: 1...20_000, using: &random)
        history.append("flood of \(count) on \(service)")
        simulation_flood(plane.world, service, count)
    }
}
