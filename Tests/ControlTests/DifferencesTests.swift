import Balancing
import Packets
import SeededRandom
import Testing

@testable import Control

private func address(_ text: String) -> IPAddress { IPAddress(text) ?? .v4(IPv4Address(0)) }
private func prefix(_ text: String, _ length: Int) -> IPPrefix {
    IPPrefix(of: address(text), length: length)
}

/// One change of a value, the property that it changes, and the fields that tell it.
private struct Change<Value: Sendable>: Sendable, CustomTestStringConvertible {
    let property: String
    let fields: [PlanReport.Field]
    let make: @Sendable (inout Value) -> Void

    init(
        _ property: String, _ key: String, _ before: String?, _ after: String?,
        _ make: @escaping @Sendable (inout Value) -> Void
    ) {
        self.init(
            property, [PlanReport.Field(key, before: before, after: after)], make)
    }

    init(
        _ property: String, _ fields: [PlanReport.Field],
        _ make: @escaping @Sendable (inout Value) -> Void
    ) {
        self.property = property
        self.fields = fields
        self.make = make
    }

    var testDescription: String { "\(property): \(fields.map(\.key).joined(separator: ", "))" }
}

private let nodeChanges: [Change<DesiredState>] = [
    Change("interfaces", "interfaces", nil, "eth2") { $0.interfaces.append("eth2") },
    Change("interfaces", "interfaces", "eth1", "eth2") { $0.interfaces = ["eth2"] },
    Change("attachMode", "attach-mode", "native", "auto") { $0.attachMode = .auto },
    Change("natAddresses", "nat-addresses", nil, "192.0.2.9") {
        $0.natAddresses = [address("192.0.2.9")]
    },
]

private let serviceChanges: [Change<Service>] = [
    Change("vip", "vip", "192.168.1.100", "192.168.1.96/30") {
        $0.vip.prefix = prefix("192.168.1.96", 30)
    },
    Change("vip", "vips.ping", "answer", "kernel") { $0.vip.settings.ping = .kernel },
    Change("vip", "vips.other-ports", "pass", "drop") { $0.vip.settings.otherPorts = .drop },
    Change("ports", "port", "80", "81") { $0.ports = Ports(81) },
    Change("ports", "port", "80", "any") { $0.ports = .any },
    Change(
        "ports",
        [
            PlanReport.Field("port", before: "80", after: nil),
            PlanReport.Field("ports", before: nil, after: "80"),
            PlanReport.Field("ports", before: nil, after: "8000-8100"),
        ]
    ) { $0.ports = Ports([80...80, 8000...8100]) },
    Change("transport", "protocol", "tcp", "udp") { $0.transport = .udp },
    Change("scheduler", "scheduler", "maglev", "round-robin") { $0.scheduler = .roundRobin },
    Change("affinity", "affinity", nil, "client") { $0.affinity = .client },
    Change("affinityTimeout", "affinity-timeout", "1h", "90s") {
        $0.affinityTimeout = .seconds(90)
    },
    Change("forwarding", "forwarding", "l2-dsr", "full-nat") { $0.forwarding = .fullNAT },
    Change("tunnel", "tunnel-port", nil, "6080") { $0.tunnel.port = 6080 },
    Change("tunnel", "tunnel-source", nil, "172.16.0.0/16") {
        $0.tunnel.sources = [prefix("172.16.0.0", 16)]
    },
    Change("access", "access.allow", nil, "198.51.100.0/24") {
        $0.access.rules[prefix("198.51.100.0", 24)] = .allow
    },
    Change(
        "access",
        [
            PlanReport.Field("access.allow", before: "203.0.113.0/24", after: nil),
            PlanReport.Field("access.deny", before: nil, after: "203.0.113.0/24"),
        ]
    ) { $0.access.rules[prefix("203.0.113.0", 24)] = .deny },
    Change("tracking", "tracking", "flows", "none") { $0.tracking = false },
    Change("hold", "hold", "1h", "500ms") { $0.hold = .milliseconds(500) },
    Change("keepAlive", "keep-alive", "15m", "1500ms") { $0.keepAlive = .milliseconds(1500) },
    Change("idleTimeout", "idle-timeout", "2h", "30s") { $0.idleTimeout = .seconds(30) },
    Change("slowStart", "slow-start", nil, "30s") { $0.slowStart = .seconds(30) },
    Change("panicThreshold", "panic-threshold", nil, "50%") { $0.panicThreshold = 50 },
    Change("healthCheck", "health-check.interval", "2s", "5s") {
        $0.healthCheck?.interval = .seconds(5)
    },
    Change(
        "healthCheck",
        [
            PlanReport.Field("health-check.type", before: "tcp", after: nil),
            PlanReport.Field("health-check.port", before: "80 (the service's)", after: nil),
            PlanReport.Field("health-check.interval", before: "2s", after: nil),
            PlanReport.Field("health-check.timeout", before: "1s", after: nil),
            PlanReport.Field("health-check.rise", before: "2", after: nil),
            PlanReport.Field("health-check.fall", before: "2", after: nil),
        ]
    ) { $0.healthCheck = nil },
]

private let checkChanges: [Change<HealthCheck>] = [
    Change(
        "probe",
        [
            PlanReport.Field("health-check.type", before: "tcp", after: "http"),
            PlanReport.Field("health-check.path", before: nil, after: "/a"),
            PlanReport.Field("health-check.host", before: nil, after: "b"),
        ]
    ) { $0.probe = .http(path: "/a", host: "b") },
    Change("port", "health-check.port", "80 (the service's)", "81 (the service's)") {
        $0.port = 81
    },
    Change("isPortFixed", "health-check.port", "80 (the service's)", "80") {
        $0.isPortFixed = true
    },
    Change("interval", "health-check.interval", "2s", "1s") { $0.interval = .seconds(1) },
    Change("timeout", "health-check.timeout", "1s", "10ms") { $0.timeout = .milliseconds(10) },
    Change("rise", "health-check.rise", "2", "3") { $0.rise = 3 },
    Change("fall", "health-check.fall", "2", "4") { $0.fall = 4 },
]

private let backendChanges: [Change<Backend>] = [
    Change("name", "name", "server-a", "other") { $0.name = "other" },
    Change("address", "address", "192.168.1.101", "192.168.1.109") {
        $0.address = address("192.168.1.109")
    },
    Change("weight", "weight", "1", "0") { $0.weight = 0 },
    Change("port", "port", nil, "8080") { $0.port = 8080 },
    Change("maxConnections", "max-connections", nil, "100") { $0.maxConnections = 100 },
    Change("isBackup", "backup", "false", "true") { $0.isBackup = true },
]

struct DifferencesTests {
    private var base: DesiredState {
        var state = web()
        state.services[0].access.rules[prefix("203.0.113.0", 24)] = .allow
        return state
    }

    private func changed(_ change: (inout DesiredState) -> Void) -> DesiredState {
        var state = base
        change(&state)
        return state
    }

    @Test(arguments: nodeChanges)
    fileprivate func `a change of the node is told as the file writes it`(
        change: Change<DesiredState>
    ) {
        let found = differences(from: base, to: changed(change.make))
        #expect(found.fields == change.fields)
        #expect(found.services == [])
    }

    @Test(arguments: serviceChanges)
    fileprivate func `a change of a service is told as the file writes it`(
        change: Change<Service>
    ) {
        let found = differences(from: base, to: changed { change.make(&$0.services[0]) })
        #expect(found.fields == [])
        #expect(
            found.services == [PlanReport.Service(.changed, name: "web", fields: change.fields)])
    }

    @Test(arguments: checkChanges)
    fileprivate func `a change of a health check is told as the file writes it`(
        change: Change<HealthCheck>
    ) throws {
        var check = try #require(base.services[0].healthCheck)
        change.make(&check)
        let found = differences(from: base, to: changed { $0.services[0].healthCheck = check })
        #expect(
            found.services == [PlanReport.Service(.changed, name: "web", fields: change.fields)])
    }

    @Test(arguments: backendChanges)
    fileprivate func `a change of a backend is told as the file writes it`(
        change: Change<Backend>
    ) throws {
        let state = changed { change.make(&$0.services[0].backends[0]) }
        let backend = state.services[0].backends[0]
        let expected = PlanReport.Backend(
            .changed, name: backend.name, address: "\(backend.address)", fields: change.fields)
        #expect(
            differences(from: base, to: state).services
                == [PlanReport.Service(.changed, name: "web", backends: [expected])])
    }

    @Test func `no property is left out of the tables above`() throws {
        // A property that nobody has thought of here would be a change that no plan shows.
        let service = base.services[0]
        let check = try #require(service.healthCheck)
        expect(nodeChanges, change: base, beside: ["services"])
        expect(serviceChanges, change: service, beside: ["name", "backends"])
        expect(checkChanges, change: check)
        expect(backendChanges, change: service.backends[0])
        // What a property of a service is made of.
        #expect(properties(of: service.vip) == ["prefix", "settings"])
        #expect(properties(of: service.vip.settings) == ["ping", "otherPorts"])
        #expect(properties(of: service.tunnel) == ["port", "sources"])
        #expect(properties(of: service.access) == ["rules"])
        #expect(properties(of: service.ports) == ["ranges"])
    }

    private func expect<Value>(
        _ changes: [Change<Value>], change value: Value, beside others: Set<String> = []
    ) {
        #expect(Set(changes.map(\.property)).union(others) == properties(of: value))
    }

    private func properties(of value: Any) -> Set<String> {
        Set(Mirror(reflecting: value).children.compactMap(\.label))
    }

    @Test func `services are the same by name, and else by what clients address`() {
        let renamed = changed { $0.services[0].name = "shop" }
        #expect(
            differences(from: base, to: renamed).services
                == [PlanReport.Service(.changed, name: "shop", formerName: "web")])
        // The name goes before: the service moves, and another one takes its place.
        let moved = changed {
            $0.services[0].ports = Ports(81)
            var other = base.services[0]
            other.name = "other"
            $0.services.append(other)
        }
        let found = differences(from: base, to: moved).services
        #expect(found.map(\.name) == ["web", "other"])
        #expect(found.map(\.kind) == [.changed, .added])
        #expect(found.map(\.formerName) == [nil, nil])
        // Neither the same name nor the same frontend: another service.
        let replaced = changed {
            $0.services[0].name = "shop"
            $0.services[0].ports = Ports(81)
        }
        #expect(differences(from: base, to: replaced).services.map(\.kind) == [.added, .removed])
    }

    @Test func `a service that comes or goes is told with its frontend and backends`() {
        let empty = changed { $0.services = [] }
        let added = PlanReport.Service(
            .added, name: "web",
            fields: [
                PlanReport.Field("vip", before: nil, after: "192.168.1.100"),
                PlanReport.Field("port", before: nil, after: "80"),
                PlanReport.Field("protocol", before: nil, after: "tcp"),
                PlanReport.Field("forwarding", before: nil, after: "l2-dsr"),
            ],
            backends: zip(["server-a", "server-b", "server-c"], addresses)
                .map { PlanReport.Backend(.added, name: $0, address: "\($1)") })
        #expect(differences(from: empty, to: base).services == [added])
        let removed = differences(from: base, to: empty).services
        #expect(removed.map(\.kind) == [.removed])
        #expect(removed[0].fields.map(\.before) == added.fields.map(\.after))
        #expect(removed[0].backends.map(\.kind) == [.removed, .removed, .removed])
    }

    @Test func `backends are the same by address, and else by name`() {
        // Two of them change names; the third one gets another address and keeps its name.
        let state = changed {
            $0.services[0].backends[0].name = "server-b"
            $0.services[0].backends[1].name = "server-a"
            $0.services[0].backends[2].address = address("192.168.1.109")
        }
        let backends = differences(from: base, to: state).services[0].backends
        #expect(backends.map(\.kind) == [.changed, .changed, .changed])
        #expect(backends.map { $0.fields.map(\.key) } == [["name"], ["name"], ["address"]])
        let other = changed {
            $0.services[0].backends[0] = Backend(name: "new", address: address("192.168.1.109"))
        }
        #expect(
            differences(from: base, to: other).services[0].backends == [
                PlanReport.Backend(.added, name: "new", address: "192.168.1.109"),
                PlanReport.Backend(.removed, name: "server-a", address: "192.168.1.101"),
            ])
    }

    @Test func `the order of things is no difference`() {
        var other = base.services[0]
        other.name = "other"
        other.ports = Ports(81)
        let one = changed {
            $0.services.append(other)
            $0.interfaces = ["eth1", "eth2"]
        }
        let two = changed {
            $0.services.insert(other, at: 0)
            $0.interfaces = ["eth2", "eth1"]
            $0.services[1].backends.reverse()
        }
        #expect(one != two)
        let found = differences(from: one, to: two)
        #expect(found.fields == [] && found.services == [])
    }

    @Test(arguments: 0..<8)
    func `states that differ have differences, and others have none`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var (equal, different) = (0, 0)
        for _ in 0..<200 {
            // Few changes out of a few: so both often come to the same.
            let states = (0..<2).map { _ in
                changed { state in
                    for _ in 0..<Int.random(in: 0...2, using: &random) {
                        mutate(&state, &random)
                    }
                }
            }
            let found = differences(from: states[0], to: states[1])
            let isSame = ordered(states[0]) == ordered(states[1])
            #expect(
                (found.fields.isEmpty && found.services.isEmpty) == isSame,
                "\(found)\n\(states[0])\n\(states[1])")
            equal += isSame ? 1 : 0
            different += isSame ? 0 : 1
        }
        #expect(equal > 0 && different > 0)
    }

    private func mutate(_ state: inout DesiredState, _ random: inout SeededRandom) {
        let index = state.services[0].backends.indices.randomElement(using: &random) ?? 0
        switch Int.random(in: 0..<8, using: &random) {
        case 0: nodeChanges.randomElement(using: &random)?.make(&state)
        case 1, 2: serviceChanges.randomElement(using: &random)?.make(&state.services[0])
        case 3:
            if var check = state.services[0].healthCheck {
                checkChanges.randomElement(using: &random)?.make(&check)
                state.services[0].healthCheck = check
            }
        case 4:
            // Two with one address or name are no configuration.
            var backend = state.services[0].backends[index]
            backendChanges.randomElement(using: &random)?.make(&backend)
            let others = state.services[0].backends.enumerated().filter { $0.offset != index }
            let isFree = !others.contains {
                $0.element.name == backend.name || $0.element.address == backend.address
            }
            if isFree { state.services[0].backends[index] = backend }
        case 5: if index > 0 { state.services[0].backends.remove(at: index) }
        case 6: state.services[0].name = "shop"
        default: state.services[0].backends.shuffle(using: &random)
        }
    }

    private func ordered(_ state: DesiredState) -> DesiredState {
        var state = state
        state.interfaces.sort()
        for index in state.services.indices {
            state.services[index].backends.sort { $0.address < $1.address }
        }
        return state
    }
}
