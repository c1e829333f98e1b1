import Balancing
import ConfigurationFile
import Foundation
import Packets
import Synchronization

@testable import API
@testable import Control

/// A controller of nothing, with all the state that the API shows: it keeps services, orders and
/// generations, refuses what a real one refuses, and fills in every field of its answers somewhere.
final class FakeController: Operations {
    fileprivate struct State {
        var generations: [Generation]
        /// Of the file, then those of the API; by name, their backends.
        var fileServices: [String: [String]]
        var services = ["dns": "{}"]
        var backends = ["web": ["server-c": "{ address: 192.168.1.103 }"]]
        var weights: [BackendReference: UInt16] = [:]
        var drains: [BackendReference: DrainOrder] = [:]
        var maintenance: [BackendReference: MaintenanceOrder] = [:]
        /// What was done, in order: of what was refused there must be nothing.
        var done: [String] = []
    }

    static let file = """
        interfaces: [eth1]
        services:
          - name: web
            vip: 192.168.1.100
            port: 80
            protocol: tcp
            forwarding: l2-dsr
            backends:
              - { name: server-a, address: 192.168.1.101 }
              - { name: server-b, address: 192.168.1.102, weight: 2 }

        """
    static let moment = Date(timeIntervalSince1970: 1_800_000_000)

    private let state = Mutex(
        State(generations: [first], fileServices: ["web": ["server-a", "server-b"]]))

    private static var first: Generation {
        var generation = Generation(
            number: 1, applied: moment, by: "the start", cause: "read from martlet.yaml",
            summary: "1 service added", layers: Layers(text: file, file: "martlet.yaml"))
        generation.ownFile = Generation.OwnFile("martlet.yaml", file)
        return generation
    }

    /// Those who listen; each event goes to all.
    private let listeners = Mutex<[AsyncStream<Event>.Continuation]>([])
    private let eventsEnd: Bool

    /// - Parameter eventsEnd: Whether listeners get what has happened, and no more.
    init(eventsEnd: Bool = false) { self.eventsEnd = eventsEnd }

    var done: [String] { state.withLock(\.done) }

    // MARK: What it tells

    func generation() async -> Int { state.withLock(\.present.number) }

    func status() async throws -> Control.Status { state.withLock { report(of: $0) } }

    func counters() async throws -> CountersReport {
        var traffic = Traffic(Count(packets: 3, bytes: 42))
        traffic.packetsPerSecond = 1.5
        var report = CountersReport(
            verdicts: [
                .init(
                    name: "DROP_TRUNCATED", text: "header cut short",
                    count: Count(packets: 3, bytes: 42))
            ], taken: Self.moment)
        report.interval = 2
        report.services = [
            .init(
                key: "192.168.1.100:80/tcp", name: "web", traffic: traffic,
                backends: [
                    .init(address: "192.168.1.101", port: 8080, name: "server-a", traffic: traffic)
                ])
        ]
        return report
    }

    func flows(_ filter: FlowFilter) async throws -> FlowPage {
        if let name = filter.service { try state.withLock { try $0.requireService(name) } }
        var all = (0..<2500).map { flow($0) }
        if let service = filter.service { all.removeAll { $0.service != service } }
        if let backend = filter.backend { all.removeAll { $0.backend != backend } }
        if let state = filter.state { all.removeAll { $0.state != state } }
        let start = min(Int(clamping: filter.cursor), all.count)
        let end = min(start + filter.limit, all.count)
        return FlowPage(
            flows: Array(all[start..<end]), next: end < all.count ? UInt64(end) : nil)
    }

    private func flow(_ number: Int) -> FlowPage.Flow {
        let isEven = number % 2 == 0
        var flow = FlowPage.Flow(
            service: "web", backend: isEven ? "server-a" : "server-b",
            state: RecordedFlow.State.allCases[number % 5].rawValue, idle: Double(number) / 8)
        if isEven {
            flow.slot = number
            flow.client = "198.51.100.7:\(number)"
            flow.nat = "192.0.2.1:\(number)"
        }
        return flow
    }

    func explain(_ query: ExplainQuery) async throws -> Explanation {
        if let interface = query.interface, interface != "eth1" {
            throw Refusal(.unknown, "there is no interface \(interface)")
        }
        var explanation = Explanation(
            verdict: "PASS_NO_SERVICE", text: "no such service: left to the kernel",
            steps: [.init("service", "none"), .init("packet", "as it came", because: "no rewrite")])
        guard query.destinationPort == 80 else { return explanation }
        explanation.verdict = "FORWARD_L2_DSR"
        explanation.service = "web"
        (explanation.slot, explanation.phase) = (7, "settled")
        (explanation.owner, explanation.formerOwner) = ("server-a", "server-b")
        (explanation.pin, explanation.backend) = ("established", "server-a")
        explanation.forwarding = .l2DSR
        (explanation.interface, explanation.neighbour) = ("eth1", "02:00:00:00:00:01")
        explanation.packet = "020000000001"
        explanation.contradiction = "the program was not asked"
        return explanation
    }

    func exclusion(of backend: BackendReference) async throws -> Exclusion {
        try state.withLock { try $0.require(backend) }
        return Exclusion(
            service: backend.service, backend: backend.backend, share: 0.5, isOut: false,
            reasons: [.init("weight", "half of what others have")])
    }

    func events(after id: UInt64?) async -> AsyncStream<Event> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: Event.self, bufferingPolicy: .bufferingOldest(100))
        for number in UInt64(1)...3 where number > id ?? 0 {
            continuation.yield(
                Event(
                    id: number, at: Self.moment, kind: .health, generation: 1,
                    service: number == 2 ? "dns" : "web", backend: "server-a",
                    text: "up:\nHTTP 200"))
        }
        if eventsEnd { continuation.finish() }
        listeners.withLock { $0.append(continuation) }
        return stream
    }

    var listenerCount: Int { listeners.withLock(\.count) }

    /// Tells all who listen.
    func happen(_ event: Event) {
        for listener in listeners.withLock(\.self) { listener.yield(event) }
    }

    /// Lets all go who listen.
    func end() {
        for listener in listeners.withLock(\.self) { listener.finish() }
    }

    func metrics() async throws -> String {
        "# TYPE martlet_generation gauge\nmartlet_generation 1\n"
    }

    // MARK: The configuration

    func configuration() async throws -> Generation { state.withLock(\.present) }

    func history() async throws -> [Generation] {
        state.withLock(\.generations).reversed().map { generation in
            var generation = generation
            generation.layers = nil
            return generation
        }
    }

    func generation(_ number: Int) async throws -> Generation {
        try state.withLock { try $0.generation(number) }
    }

    func plan(_ proposal: Proposal) async throws -> PlanReport {
        guard case .file(let text, let name) = proposal else {
            throw Refusal(.invalid, "only a file can be planned")
        }
        _ = try accepted(text, name)
        return state.withLock { state in
            let field = PlanReport.Field("weight", before: "1", after: nil)
            let backend = PlanReport.Backend(
                .changed, name: "server-a", address: "192.168.1.101", fields: [field])
            return PlanReport(
                generation: state.present.number, token: state.token,
                fields: [PlanReport.Field("interfaces", before: nil, after: "[eth1]")],
                services: [
                    .init(.changed, name: "web", formerName: "www", backends: [backend]),
                    .init(.added, name: "dns"),
                ],
                dropped: ["service dns: martlet.yaml has a service of this name"],
                slots: .init(moved: 3, of: 65536), flows: .init(stay: 5, move: 1, break: 0))
        }
    }

    func apply(_ proposal: Proposal, _ order: ChangeOrder) async throws -> Generation {
        if case .file(let text, let name) = proposal {
            let names = try accepted(text, name)
            return try state.withLock { state in
                try state.admit(order)
                state.fileServices = names
                return state.add(order, "applied \(name)")
            }
        }
        if case .setService(let name, let text) = proposal {
            _ = try accepted(inFile(text, called: name), "service \(name)")
        }
        return try state.withLock { state in
            try state.admit(order)
            return try state.apply(proposal, order)
        }
    }

    // MARK: Orders

    func drain(
        _ backend: BackendReference, _ drain: DrainOrder, _ order: ChangeOrder
    ) async throws {
        try state.withLock { state in
            try state.admit(order)
            try state.require(backend)
            if !drain.isForced,
                state.drains.keys.contains(where: {
                    $0 != backend && $0.service == backend.service
                })
            {
                throw Refusal(.conflict, "\(backend) is the last one that serves")
            }
            state.drains[backend] = drain
            state.done.append("drain \(backend)")
        }
    }

    func undrain(_ backend: BackendReference, _ order: ChangeOrder) async throws {
        try state.withLock { state in
            try state.admit(order)
            try state.require(backend)
            state.drains[backend] = nil
            state.done.append("undrain \(backend)")
        }
    }

    func maintain(
        _ backend: BackendReference, _ maintenance: MaintenanceOrder?, _ order: ChangeOrder
    ) async throws {
        try state.withLock { state in
            try state.admit(order)
            try state.require(backend)
            state.maintenance[backend] = maintenance
            state.done.append("\(maintenance == nil ? "no " : "")maintenance \(backend)")
        }
    }

    /// The services of a text, or all that is wrong with it.
    private func accepted(_ text: String, _ file: String) throws -> [String: [String]] {
        do throws(ConfigurationErrors) {
            let desired = try parse(text, file: file)
            return Dictionary(
                uniqueKeysWithValues: desired.services.map { ($0.name, $0.backends.map(\.name)) })
        } catch {
            throw Refusal(.invalid, error.description, errors: error)
        }
    }

    /// A file with one service whose keys are in `text`.
    private func inFile(_ text: String, called name: String) -> String {
        let isFlow = text.drop(while: \.isWhitespace).hasPrefix("{")
        guard isFlow else {
            let lines = text.split(separator: "\n").map { "    \($0)\n" }.joined()
            return "interfaces: [eth1]\nservices:\n  - name: \(name)\n\(lines)"
        }
        let inside = text.drop(while: \.isWhitespace).dropFirst()
        let comma = inside.drop(while: \.isWhitespace).hasPrefix("}") ? "" : ","
        return "interfaces: [eth1]\nservices: [ {\"name\": \"\(name)\"\(comma)\(inside) ]\n"
    }
}

extension FakeController.State {
    var present: Generation { generations[generations.count - 1] }
    var token: String { "plan-\(present.number)" }

    var serviceNames: [String] { fileServices.keys.sorted() + services.keys.sorted() }

    func backendNames(of service: String) -> [String] {
        let ofFile = fileServices[service] ?? (services[service] == nil ? [] : ["server-a"])
        return ofFile + (backends[service] ?? [:]).keys.sorted()
    }

    func requireService(_ name: String) throws {
        guard serviceNames.contains(name) else {
            throw Refusal(.unknown, "there is no service \(name)")
        }
    }

    func require(_ backend: BackendReference) throws {
        guard backendNames(of: backend.service).contains(backend.backend) else {
            throw Refusal(.unknown, "there is no backend \(backend)")
        }
    }

    func generation(_ number: Int) throws -> Generation {
        guard let generation = generations.first(where: { $0.number == number }) else {
            throw Refusal(.unknown, "there is no generation \(number)")
        }
        return generation
    }

    func admit(_ order: ChangeOrder) throws {
        guard order.requester.role == .admin else { throw Refusal(.forbidden, "no") }
        if let wanted = order.generation, wanted != present.number {
            throw Refusal(.stale, "generation \(present.number) counts, not \(wanted)")
        }
        if let plan = order.plan, plan != token {
            throw Refusal(.stale, "the plan is \(token), not \(plan)")
        }
    }

    mutating func add(_ order: ChangeOrder, _ cause: String) -> Generation {
        var layers = present.layers
        layers?.services = services
        layers?.backends = backends
        for (backend, weight) in weights {
            layers?.weights[backend.service, default: [:]][backend.backend] = weight
        }
        var generation = Generation(
            number: present.number + 1, applied: FakeController.moment, by: order.requester.name,
            cause: cause, summary: "something changed", layers: layers)
        generation.ownFile = present.ownFile
        generations.append(generation)
        done.append(cause)
        return generation
    }

    mutating func apply(_ proposal: Proposal, _ order: ChangeOrder) throws -> Generation {
        switch proposal {
        case .file, .reload: return add(order, "reloaded")
        case .rollback(let number):
            let number = number ?? present.number - 1
            _ = try generation(number)
            return add(order, "back to \(number)")
        case .setService(let name, let text):
            guard fileServices[name] == nil else {
                throw Refusal(.conflict, "\(name) is the file's")
            }
            services[name] = text
            return add(order, "service \(name)")
        case .removeService(let name):
            guard fileServices[name] == nil else {
                throw Refusal(.conflict, "\(name) is the file's")
            }
            try requireService(name)
            services[name] = nil
            backends[name] = nil
            forget { $0.service == name }
            return add(order, "no service \(name)")
        case .setBackend(let backend, let text):
            try requireService(backend.service)
            guard text.contains("address") else { throw Refusal(.invalid, "it has no address") }
            guard !(fileServices[backend.service] ?? []).contains(backend.backend) else {
                throw Refusal(.conflict, "\(backend) is the file's")
            }
            backends[backend.service, default: [:]][backend.backend] = text
            return add(order, "backend \(backend)")
        case .removeBackend(let backend):
            try require(backend)
            guard backends[backend.service]?[backend.backend] != nil else {
                throw Refusal(.conflict, "\(backend) is the file's")
            }
            backends[backend.service]?[backend.backend] = nil
            forget { $0 == backend }
            return add(order, "no backend \(backend)")
        case .setWeight(let backend, let weight):
            try require(backend)
            weights[backend] = weight
            return add(order, "\(backend): weight \(weight.map { "\($0)" } ?? "of the file")")
        }
    }

    private mutating func forget(_ isGone: (BackendReference) -> Bool) {
        weights = weights.filter { !isGone($0.key) }
        drains = drains.filter { !isGone($0.key) }
        maintenance = maintenance.filter { !isGone($0.key) }
    }
}

// MARK: Its status

private func report(of state: FakeController.State) -> Control.Status {
    var configuration = Status.Configuration(
        generation: state.present.number, applied: state.present.applied, by: state.present.by,
        cause: state.present.cause)
    (configuration.refusal, configuration.refused) = ("it was no YAML", FakeController.moment)
    (configuration.refusals, configuration.applySeconds) = (2, 0.25)
    return Status(
        taken: FakeController.moment, interval: 2,
        interfaces: [
            .init(name: "eth1", mode: "native", program: 42),
            .init(name: "eth2", obstacle: "interface does not exist"),
        ], services: state.serviceNames.map { service(called: $0, of: state) },
        flowTable: .init(entries: 3, capacity: 1 << 20, events: FlowEvents(made: 3)),
        configuration: configuration)
}

private func service(called name: String, of state: FakeController.State) -> Control.Status.Service
{
    Status.Service(
        name: name, vip: "192.168.1.100", ports: "80", transport: "tcp", scheduler: .roundRobin,
        forwarding: .fullNAT, slots: 65536, slotsWithoutOwner: 0,
        traffic: Traffic(Count(packets: 3, bytes: 42)),
        backends: state.backendNames(of: name).map { backend in
            report(of: BackendReference(name, backend), in: state)
        }, refusal: name == "web" ? nil : "no room", key: "192.168.1.100:80/tcp")
}

private func report(
    of backend: BackendReference, in state: FakeController.State
) -> Control.Status.Backend {
    let isFull = backend.backend == "server-a"
    var status = Status.Backend(
        name: backend.backend, address: "192.168.1.101", weight: state.weights[backend] ?? 1,
        health: .init(
            state: isFull ? .up : .unknown, reason: "HTTP 200", since: FakeController.moment),
        way: isFull
            ? .init(interface: "eth1", neighbour: "02:00:00:00:00:01", obstacle: nil)
            : .init(interface: nil, neighbour: nil, obstacle: "no route"),
        slots: 3, share: 0.5, traffic: Traffic(Count(packets: 3, bytes: 42)))
    if isFull {
        (status.port, status.flows, status.maxConnections, status.latency) = (8080, 3, 100, 400)
    }
    if state.weights[backend] != nil { status.weightOfFile = 1 }
    if let drain = state.drains[backend] {
        status.drain = .init(
            since: FakeController.moment, deadline: drain.deadline, cut: 1, flowsLeft: 2,
            secondsLeft: 3.5, isOver: false)
    }
    if let order = state.maintenance[backend] {
        status.maintenance = .init(since: FakeController.moment, reason: order.reason, by: "uid 0")
    }
    return status
}
