import Balancing
import FoundationEssentials
import HealthChecks
import Logging
import Packets
import Synchronization

@testable import Control

/// A plane that is its contents, and refuses when it is told to.
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
    }

    init(holding contents: PlaneContents = PlaneContents()) {
        state = Mutex(State(contents: contents))
    }

    func contents() -> PlaneContents { state.withLock(\.contents) }

    func counters() -> PlaneCounters { state.withLock(\.counters) }

    func natUse(at addresses: Set<NATAddressID>) -> NATUse {
        state.withLock { addresses.isEmpty ? NATUse() : $0.use }
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
            state.steps.append(step)
        }
    }

    /// The steps since this was last asked.
    func takeSteps() -> [Step] {
        state.withLock { state in
            defer { state.steps = [] }
            return state.steps
        }
    }

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
        return slots.reduce(into: [:]) { shares, owner in
            shares[owner.flatMap { contents.backends[$0]?.address }, default: 0] += 1
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

func result(_ isSuccess: Bool) -> ProbeResult {
    ProbeResult(
        isSuccess: isSuccess, finding: isSuccess ? "accepted" : "refused", latency: .zero)
}
