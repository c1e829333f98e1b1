import Balancing
import ConfigurationFile
import FoundationEssentials
import HealthChecks
import Packets
import Synchronization
import Testing

@testable import Control

/// What becomes of the plane, of flows and of orders when the configuration becomes another one.
struct ReconfigurationTests {
    private static let file = """
        interfaces: [eth1]
        services:
          - name: web
            vip: 192.168.1.100
            port: 80
            protocol: tcp
            forwarding: l2-dsr
            health-check: { type: tcp, rise: 2, fall: 2 }
            backends:
              - { name: server-a, address: 192.168.1.101 }
              - { name: server-b, address: 192.168.1.102 }
              - { name: server-c, address: 192.168.1.103 }
        """
    private static let requester = Requester("a test", role: .admin)
    private static let order = ChangeOrder(requester)

    /// A stage whose controller has ``file``, and which can be given another one.
    private static func stage(
        _ generations: MemoryGenerations = MemoryGenerations(), own: OwnFile = OwnFile(file)
    ) async throws -> Stage {
        let opening = try Configuration.opening(
            own.reader, called: "martlet.yaml", store: generations,
            at: Date(timeIntervalSince1970: 1_800_000_000))
        try opening.keep()
        return try await Stage(opening.desired, from: opening.configuration)
    }

    private static func proposal(_ change: (String) -> String) -> Proposal {
        .file(text: change(file), name: "new.yaml")
    }

    private static func removing(_ name: String) -> Proposal {
        proposal { text in
            text.split(separator: "\n").filter { !$0.contains(name) }.joined(separator: "\n")
        }
    }

    private static let weighted = proposal {
        $0.replacing("192.168.1.102 }", with: "192.168.1.102, weight: 3 }")
    }

    @Test func `a plan tells what would move, and changes nothing`() async throws {
        let stage = try await Self.stage()
        let before = stage.plane.contents()
        let report = try await stage.controller.plan(Self.weighted)
        #expect(report.generation == 1)
        #expect(!report.isEmpty)
        #expect(report.slots.count == Stage.slots)
        #expect(report.slots.moved > 0 && report.slots.moved < Stage.slots)
        #expect(report.flows.break == 0 && !report.flows.breaksUncounted)
        #expect(stage.plane.contents() == before)
        #expect(stage.plane.takeSteps().isEmpty)
    }

    @Test func `a plan to what there is is empty, and applying it makes no generation`()
        async throws
    {
        let stage = try await Self.stage()
        let report = try await stage.controller.plan(Self.proposal { $0 + "\n# a remark" })
        #expect(report.isEmpty)
        let generation = try await stage.controller.apply(
            Self.proposal { $0 + "\n# a remark" }, Self.order)
        #expect(generation.number == 1)
        #expect(stage.plane.takeSteps().isEmpty)
    }

    @Test func `applying a plan moves as many slots as it told, and cuts no flow`() async throws {
        let stage = try await Self.stage()
        let flows = stage.open(0..<640)
        let before = stage.plane.contents()
        let report = try await stage.controller.plan(Self.weighted)
        let generation = try await stage.controller.apply(
            Self.weighted, ChangeOrder(Self.requester, plan: report.token))
        #expect(generation.number == 2)
        #expect(generation.by == "a test")
        let after = stage.plane.contents()
        let moved = try zip(
            #require(before.services.values.first).slots,
            #require(after.services.values.first).slots
        ).count { $0.owner != $1.owner }
        #expect(moved == report.slots.moved)
        #expect(stage.broken(flows) == [])
    }

    @Test func `a plan that does not hold any more is refused, and so is another generation`()
        async throws
    {
        let stage = try await Self.stage()
        let report = try await stage.controller.plan(Self.weighted)
        _ = stage.open(0..<64)
        try await stage.tick()
        #expect(try await stage.controller.plan(Self.weighted).token == report.token)
        await stage.tell(result(false), of: 2)
        let refusal = try #require(
            await #expect(throws: Refusal.self) {
                try await stage.controller.apply(
                    Self.weighted, ChangeOrder(Self.requester, plan: report.token))
            })
        #expect(refusal.kind == .stale)
        let stale = try #require(
            await #expect(throws: Refusal.self) {
                try await stage.controller.apply(
                    Self.weighted, ChangeOrder(Self.requester, generation: 7))
            })
        #expect(stale.kind == .stale)
        #expect(await stage.controller.generation.number == 1)
    }

    @Test func `a backend that leaves keeps its flows, and its name, until they end`() async throws
    {
        let stage = try await Self.stage()
        let flows = stage.open(0..<640)
        let report = try await stage.controller.plan(Self.removing("server-b"))
        #expect(report.flows.break == 0)
        _ = try await stage.controller.apply(Self.removing("server-b"), Self.order)
        #expect(stage.broken(flows) == [])
        let status = try await stage.status()
        #expect(status.backends.map(\.name) == ["server-a", "server-c", "server-b"])
        #expect(status.backends[2].isLeaving)
        #expect(!stage.open(1000..<1640).values.contains(addresses[1]))
    }

    @Test func `a service that is removed takes its flows with it, and the plan says so`()
        async throws
    {
        let stage = try await Self.stage()
        _ = stage.open(0..<64)
        let id = try #require(stage.plane.contents().services.keys.first)
        stage.plane.count(
            PlaneCounters(verdicts: [], services: [id: Count(packets: 64)], backends: [:]))
        let nothing = Proposal.file(text: "interfaces: [eth1]\nservices: []", name: "empty.yaml")
        let report = try await stage.controller.plan(nothing)
        #expect(report.flows.breaksUncounted)
        _ = try await stage.controller.apply(nothing, Self.order)
        #expect(stage.plane.contents().keys.isEmpty)
        #expect(stage.plane.contents().backends.isEmpty)
    }

    @Test func `health, drains and maintenance of what stays are known on`() async throws {
        let stage = try await Self.stage()
        await stage.tell(result(false), of: 0)
        try await stage.controller.drain(BackendReference("web", "server-b"))
        try await stage.controller.maintain(
            BackendReference("web", "server-c"), because: "disk", isForced: true,
            under: Self.order)
        _ = try await stage.controller.apply(
            Self.proposal { $0.replacing("server-b", with: "server-x") },
            Self.order)
        let backends = try await stage.status().backends
        #expect(backends.map(\.name) == ["server-a", "server-x", "server-c"])
        #expect(backends[0].health.state == .down)
        #expect(backends[1].drain != nil)
        #expect(backends[2].maintenance?.reason == "disk")
        #expect(backends[2].maintenance?.by == "a test")
    }

    @Test func `a plane that refuses has the one before count, and no trace of the new one`()
        async throws
    {
        let generations = MemoryGenerations()
        let stage = try await Self.stage(generations)
        let flows = stage.open(0..<640)
        let before = stage.plane.contents()
        stage.plane.refuse { if case .writeSlots = $0 { true } else { false } }
        let refusal = try #require(
            await #expect(throws: Refusal.self) {
                try await stage.controller.apply(Self.weighted, Self.order)
            })
        #expect(refusal.kind == .conflict)
        stage.plane.refuse { _ in false }
        try await stage.tick()
        #expect(stage.plane.contents().backends == before.backends)
        #expect(stage.broken(flows) == [])
        #expect(await stage.controller.generation.number == 1)
        #expect(generations.list().map(\.number) == [1])
    }

    @Test func `rollback goes back to what counted before, under a new number`() async throws {
        let stage = try await Self.stage()
        let before = await stage.controller.desired
        _ = try await stage.controller.apply(Self.weighted, Self.order)
        let back = try await stage.controller.apply(.rollback(to: nil), Self.order)
        #expect(back.number == 3)
        #expect(back.cause == "back to generation 1")
        #expect(await stage.controller.desired == before)
        #expect(try await stage.controller.history().map(\.number) == [3, 2, 1])
        let refusal = try #require(
            await #expect(throws: Refusal.self) {
                try await stage.controller.apply(.rollback(to: 9), Self.order)
            })
        #expect(refusal.kind == .unknown)
    }

    @Test func `a bad file changes nothing, and is told in log and status until a good one comes`()
        async throws
    {
        let own = OwnFile(Self.file)
        let stage = try await Self.stage(own: own)
        own.text = "interfaces: [eth1]\nservices: 7"
        let refusal = try #require(
            await #expect(throws: Refusal.self) {
                try await stage.controller.apply(.reload, Self.order)
            })
        #expect(refusal.errors?.errors.isEmpty == false)
        #expect(stage.log.contains("error: the file is not applied, and generation 1 goes on"))
        var status = try await stage.controller.status(on: []).configuration
        #expect(status.refusal?.contains("martlet.yaml:2:") == true)
        #expect(status.refusals == 1)
        own.text = Self.file
        _ = try await stage.controller.apply(.reload, Self.order)
        status = try await stage.controller.status(on: []).configuration
        #expect(status.refusal == nil)
        #expect(status.refusals == 1)
    }

    @Test func `weights and backends ordered over the API outlive another file and a restart`()
        async throws
    {
        let (generations, own) = (MemoryGenerations(), OwnFile(Self.file))
        let stage = try await Self.stage(generations, own: own)
        let backend = BackendReference("web", "server-a")
        _ = try await stage.controller.apply(.setWeight(backend, 5), Self.order)
        _ = try await stage.controller.apply(
            .setBackend(BackendReference("web", "server-d"), text: "{address: 192.168.1.104}"),
            Self.order)
        #expect(try await stage.status().backends.map(\.weight) == [5, 1, 1, 1])
        #expect(try await stage.status().backends[0].weightOfFile == 1)
        own.text = Self.file.replacing("192.168.1.102 }", with: "192.168.1.102, weight: 2 }")
        let opening = try Configuration.opening(
            own.reader, called: "martlet.yaml", store: generations,
            at: Date(timeIntervalSince1970: 1_800_000_000))
        #expect(opening.desired.services[0].backends.map(\.weight) == [5, 2, 1, 1])
        #expect(opening.configuration.generation.number == 4)
    }

    @Test func `a start goes on with what counted, unless its file has changed`() async throws {
        let (generations, own) = (MemoryGenerations(), OwnFile(Self.file))
        let stage = try await Self.stage(generations, own: own)
        let applied = try await stage.controller.apply(Self.weighted, Self.order)
        let start = Date(timeIntervalSince1970: 1_800_000_001)
        let same = try Configuration.opening(
            own.reader, called: "martlet.yaml", store: generations, at: start)
        #expect(same.configuration.generation == applied)
        #expect(same.desired == (await stage.controller.desired))
        own.text = Self.file + "\n# it is mine"
        let other = try Configuration.opening(
            own.reader, called: "martlet.yaml", store: generations, at: start)
        #expect(other.configuration.generation.number == 3)
        #expect(other.desired != same.desired)
    }

    @Test func `while those that take their place are not asked yet, those that leave go on`()
        async throws
    {
        let stage = try await Self.stage()
        let flows = stage.open(0..<640)
        let replaced = Self.proposal { text in
            (1...3).reduce(text) { text, number in
                text.replacing("192.168.1.10\(number) }", with: "192.168.1.11\(number) }")
            }.replacing("name: server", with: "name: host")
        }
        _ = try await stage.controller.apply(replaced, Self.order)
        #expect(stage.broken(flows) == [])
        #expect(stage.open(1000..<1640).count == 640, "nobody's slot is without an owner")
        #expect(stage.log.contains("backends that leave it keep new flows"))
        let state = await stage.controller.desired
        let new = state.services[0].backends
        await stage.controller.take(
            Dictionary(uniqueKeysWithValues: new.map { ($0.address, hop(1)) }))
        for backend in new {
            let check = try #require(state.services[0].healthCheck(of: backend))
            for _ in 0..<2 {
                await stage.controller.take(
                    result(true), of: ProbeTarget(check: check, address: backend.address))
            }
        }
        #expect(stage.broken(flows) == [])
        let owners = Set(stage.open(2000..<2640).values)
        #expect(owners == Set(new.map(\.address)))
        #expect(stage.log.contains("go to backends that leave no more"))
    }

    @Test func `what can't be kept is taken back, and so is what came to interfaces`() async throws
    {
        let generations = MemoryGenerations()
        let stage = try await Self.stage(generations)
        let before = await stage.controller.desired
        generations.fill()
        await #expect(throws: MemoryStore.Full.self) {
            try await stage.controller.apply(Self.weighted, Self.order)
        }
        #expect(await stage.controller.desired == before)
        #expect(await stage.controller.generation.number == 1)
    }

    @Test func `a start goes on with what counted if its file is wrong now, and shows it`()
        async throws
    {
        let (generations, own) = (MemoryGenerations(), OwnFile(Self.file))
        let stage = try await Self.stage(generations, own: own)
        own.text = "interfaces: []"
        let start = Date(timeIntervalSince1970: 1_800_000_001)
        let opening = try Configuration.opening(
            own.reader, called: "martlet.yaml", store: generations, at: start)
        #expect(opening.desired == (await stage.controller.desired))
        #expect(opening.remarks.contains { $0.contains("generation 1 goes on") })
        #expect(throws: ConfigurationErrors.self) {
            try Configuration.opening(
                own.reader, called: "other.yaml", store: generations, at: start)
        }
        #expect(throws: ConfigurationErrors.self) {
            try Configuration.opening(
                own.reader, called: "martlet.yaml", store: MemoryGenerations(), at: start)
        }
    }

    @Test func `orders follow a service's address and ports, not a name that another one takes`()
        async throws
    {
        let stage = try await Self.stage()
        try await stage.controller.drain(BackendReference("web", "server-b"))
        let swapped = Self.proposal { text in
            let new = text.split(separator: "\n").dropFirst(2).joined(separator: "\n")
                .replacing("192.168.1.100", with: "192.168.1.200")
            return text.replacing("name: web", with: "name: old") + "\n" + new
        }
        _ = try await stage.controller.apply(swapped, Self.order)
        let services = try await stage.controller.status(on: []).services
        #expect(services.map(\.name) == ["old", "web"])
        #expect(services[0].backends[1].drain != nil)
        #expect(services[1].backends.allSatisfy { $0.drain == nil })
    }

    @Test func `a renamed service keeps its flows, and its drains`() async throws {
        let stage = try await Self.stage()
        let flows = stage.open(0..<640)
        try await stage.controller.drain(BackendReference("web", "server-b"))
        _ = try await stage.controller.apply(
            Self.proposal { $0.replacing("name: web", with: "name: www") },
            Self.order)
        #expect(stage.broken(flows) == [])
        #expect(try await stage.status().name == "www")
        #expect(try await stage.status().backends[1].drain != nil)
    }

    @Test func `events are told to those who listen, with service, backend and generation`()
        async throws
    {
        let stage = try await Self.stage()
        var events = stage.controller.events.events(after: nil).makeAsyncIterator()
        try await stage.controller.drain(BackendReference("web", "server-b"))
        let event = try #require(await events.next())
        #expect(event.kind == .drain)
        #expect(event.service == "web")
        #expect(event.backend == "server-b")
        #expect(event.generation == 1)
        _ = try await stage.controller.apply(Self.weighted, Self.order)
        #expect(await events.next()?.kind == .generation)
        var missed = stage.controller.events.events(after: event.id).makeAsyncIterator()
        #expect(await missed.next()?.kind == .generation)
    }
}

/// Keeps generations as long as the test.
final class MemoryGenerations: GenerationStore {
    private struct State {
        var heads: [Int: Generation] = [:]
        var bodies: [Int: Layers] = [:]
        var isFull = false
    }

    private let state = Mutex(State())

    func list() -> [Generation] {
        state.withLock { $0.heads.values.sorted { $0.number < $1.number } }
    }

    func layers(of number: Int) -> Layers? { state.withLock { $0.bodies[number] } }

    func prepare(_ number: Int, _ layers: Layers) {
        state.withLock { $0.bodies[number] = layers }
    }

    func commit(_ generation: Generation) throws {
        try state.withLock { state in
            if state.isFull { throw MemoryStore.Full() }
            var head = generation
            head.layers = nil
            state.heads[generation.number] = head
        }
    }

    func fill() { state.withLock { $0.isFull = true } }
}

/// A controller's own file.
final class OwnFile: Sendable {
    private let kept: Mutex<String>

    init(_ text: String) { kept = Mutex(text) }

    var text: String {
        get { kept.withLock(\.self) }
        set { kept.withLock { $0 = newValue } }
    }

    var reader: @Sendable () throws(ConfigurationErrors) -> (text: String, name: String) {
        { () throws(ConfigurationErrors) in (self.text, "martlet.yaml") }
    }
}
