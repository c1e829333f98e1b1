import Balancing
import FoundationEssentials
import HealthChecks
import Logging
import Packets
import Synchronization

@testable import Control

/// A plane that is its contents, and refuses when it is told to. Its flows are those of
/// FakeFlows.swift.
final class FakePlane: DataPlane {
    struct Refusal: Error, CustomStringConvertible { let description = "the plane is full" }

    private let state: Mutex<State>

    private struct State {
        var contents: PlaneContents
        var counters = PlaneCounters(verdicts: [], services: [:], backends: [:])
        var use = NATUse()
        var steps: [Step] = []
        var stepsUntilRefusal = Int.max
        var isRefused: @Sendable (Step) -> Bool = { _ in false }
        var flows = FakeFlows()
        var orders: [SweepOrders] = []
        var isFrozen: [Bool] = []
        var latencies: [[BackendID: UInt32]] = []
    }

    init(holding contents: PlaneContents = PlaneContents()) {
        state = Mutex(State(contents: contents))
    }

    func contents() -> PlaneContents { state.withLock(\.contents) }

    func counters() -> PlaneCounters { state.withLock(\.counters) }

    func natUse(at addresses: Set<NATAddressID>) -> NATUse {
        state.withLock { addresses.isEmpty ? NATUse() : $0.use }
    }

    func sweep(_ orders: SweepOrders) -> SweepReport {
        state.withLock { state in
            state.orders.append(orders)
            return state.flows.sweep(orders, state.contents)
        }
    }

    func flows(_ query: FlowQuery) -> RecordedFlows {
        state.withLock { $0.flows.page(query, $0.contents) }
    }

    func flowEvents() -> FlowEvents { state.withLock(\.flows.events) }

    func freeze(_ isFrozen: Bool) { state.withLock { $0.isFrozen.append(isFrozen) } }

    func setLatency(_ latency: [BackendID: UInt32]) {
        state.withLock { $0.latencies.append(latency) }
    }

    func loads() -> [BackendID: MeasuredLoad] { [:] }

    /// The sweeps since this was last asked.
    func takeOrders() -> [SweepOrders] { take({ $0.orders }, { $0.orders = [] }) }

    /// What the flow table was told to do since this was last asked: to be frozen, or not.
    func takeFreezing() -> [Bool] { take({ $0.isFrozen }, { $0.isFrozen = [] }) }

    /// By address.
    func takeLatencies() -> [[IPAddress: UInt32]] {
        let backends = contents().backends
        return take({ $0.latencies }, { $0.latencies = [] }).map { latencies in
            Dictionary(
                uniqueKeysWithValues: latencies.compactMap { id, latency in
                    backends[id].map { ($0.address, latency) }
                })
        }
    }

    /// Sends a packet of a flow, and tells who gets it: of the service on `port`.
    func send(_ flow: FakeFlows.Flow, isNew: Bool = false, port: UInt16 = 80) -> IPAddress? {
        state.withLock { state in
            let key = state.contents.keys.first { $0.key.port == port }
            guard let entry = key?.value else { return nil }
            return state.flows.send(flow, isNew: isNew, to: entry, state.contents)
                .flatMap { state.contents.backends[$0]?.address }
        }
    }

    /// What test and flow table do to each other.
    func withFlows<Result>(_ body: (inout FakeFlows) -> sending Result) -> sending Result {
        state.withLock { body(&$0.flows) }
    }

    private func take<Value: Sendable>(
        _ list: (inout State) -> [Value], _ clear: (inout State) -> Void
    ) -> [Value] {
        state.withLock { state in
            defer { clear(&state) }
            return list(&state)
        }
    }

    func use(_ use: NATUse) { state.withLock { $0.use = use } }

    func apply(_ step: Step) throws {
        // It may ask this plane.
        let isRefused = state.withLock(\.isRefused)
        if isRefused(step) { throw Refusal() }
        try state.withLock { state in
            guard state.stepsUntilRefusal > 0 else { throw Refusal() }
            state.stepsUntilRefusal -= 1
            state.contents.apply(step)
            if case .forgetFlows(let backends) = step { state.flows.forget(backends) }
            state.steps.append(step)
        }
    }

    /// The steps since this was last asked.
    func takeSteps() -> [Step] { take({ $0.steps }, { $0.steps = [] }) }

    func refuse(after steps: Int) { state.withLock { $0.stepsUntilRefusal = steps } }

    func refuse(_ isRefused: @escaping @Sendable (Step) -> Bool) {
        state.withLock { $0.isRefused = isRefused }
    }

    func address(of backend: BackendID) -> IPAddress? { contents().backends[backend]?.address }

    func count(_ counters: PlaneCounters) { state.withLock { $0.counters = counters } }

    /// How many slots of the only service each address owns; nil: nobody does.
    func shares() -> [IPAddress?: Int] {
        let contents = contents()
        let slots = contents.services.values.first?.slots ?? []
        return slots.reduce(into: [:]) { shares, slot in
            shares[slot.owner.flatMap { contents.backends[$0]?.address }, default: 0] += 1
        }
    }
}

let noLogger = Logger(label: "tests", factory: { _ in SwiftLogNoOpLogHandler() })
let addresses = (101...103).compactMap { IPAddress("192.168.1.\($0)") }
let check = HealthCheck(probe: .tcp, port: 80, rise: 2, fall: 2)

func web(check: HealthCheck? = check) -> DesiredState {
    let vip = IPAddress("192.168.1.100") ?? addresses[0]
    let backends = zip(["server-a", "server-b", "server-c"], addresses)
        .map { Backend(name: $0, address: $1) }
    return DesiredState(
        interfaces: ["eth1"],
        services: [
            Service(
                name: "web", vip: VIP(vip), ports: Ports(80), forwarding: .l2DSR,
                healthCheck: check, backends: backends)
        ])
}

func hop(_ last: UInt64) -> Reachability {
    .reachable(
        NextHop(
            egress: Egress(
                index: 2, name: "eth1", address: MACAddress(0x0200_0000_0001), mtu: 1500),
            neighbour: MACAddress(0x0200_0000_0100 + last), source: addresses[0]))
}

let allReachable = Dictionary(
    uniqueKeysWithValues: zip(addresses, (1...3).map { hop(UInt64($0)) }))

func result(_ isSuccess: Bool, latency: Duration = .zero) -> ProbeResult {
    ProbeResult(
        isSuccess: isSuccess, finding: isSuccess ? "accepted" : "refused", latency: latency)
}

/// Of a host that does not answer at all.
let silence = ProbeResult(
    isSuccess: false, isAnswered: false, finding: "no answer in 500 ms", latency: .zero)
