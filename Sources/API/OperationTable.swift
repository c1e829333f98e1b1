import Balancing
import Control
import HTTPTypes
import PrometheusMetrics

/// All that the API does: paths, methods, rights and the description come from here.
let operationTable: [Operation] =
    tellingOperations + servingOperations + configurationOperations
    + backendOperations

private func json(_ name: String) -> Operation.Answer { .json(.reference(name)) }
private func list(_ name: String) -> Operation.Answer { .json(.list(.reference(name))) }

// MARK: What it tells

private let tellingOperations: [Operation] = [
    Operation(
        .get, "/v1/status", "status", "All that the controller knows now.", answer: json("Status")
    ) { .json(try await $0.operations.status()) },
    Operation(
        .get, "/v1/counters", "counters", "What became of every packet.",
        answer: json("CountersReport")
    ) { .json(try await $0.operations.counters()) },
    Operation(
        .get, "/v1/health", "health", "What the probes say of every backend.",
        answer: list("BackendHealth")
    ) { .json(BackendHealth.all(in: try await $0.operations.status())) },
    Operation(
        .get, "/v1/drains", "drains", "Backends that are drained or being worked on.",
        answer: list("BackendOrders")
    ) { .json(BackendOrders.all(in: try await $0.operations.status())) },
    Operation(
        .get, "/v1/flows", "flows", "Recorded flows, page by page.",
        parameters: [
            .init(name: "service", schema: Schema.name, summary: "Only of this service."),
            .init(name: "backend", schema: Schema.name, summary: "Only of backends of this name."),
            .init(
                name: "state", schema: .choice(RecordedFlow.State.allCases.map(\.rawValue)),
                summary: "Only in this state."),
            .init(
                name: "limit", schema: .integer(1...FlowFilter.mostFlows),
                summary: "At most so many; 100 if it is missing.", example: 10),
            .init(name: "cursor", schema: Schema.count, summary: "The `next` of the page before."),
        ], answer: json("FlowPage")
    ) { .json(try await $0.operations.flows($0.flowFilter)) },
    Operation(
        .get, "/v1/explain", "explain", "Where a packet would go now, and why.",
        parameters: [
            .init(
                name: "from", schema: endpoint, summary: "Its source.", isRequired: true,
                example: "198.51.100.7:41000"),
            .init(
                name: "to", schema: endpoint, summary: "Its destination.", isRequired: true,
                example: "192.168.1.100:80"),
            .init(
                name: "protocol", schema: .choice(Transport.allCases.map(\.name)),
                summary: "tcp if it is missing."),
            .init(
                name: "syn", schema: .boolean, summary: "Whether it is the first one of its flow."),
            .init(
                name: "interface", schema: Schema.line(1...15),
                summary: "By which it comes; the first of the configuration if it is missing."),
        ], answer: json("Explanation")
    ) { .json(try await $0.operations.explain(try $0.explainQuery())) },
    Operation(
        .get, "/v1/events", "events", "What happens, as server-sent events.",
        parameters: [
            .init(name: "service", schema: Schema.name, summary: "Only of this service."),
            .init(
                place: .header, name: "Last-Event-ID", schema: Schema.count,
                summary: "Those after this one that are still known come first."),
        ], answer: .events, refusals: [.tooManyRequests]
    ) { call in
        let last = call.number("Last-Event-ID").map(UInt64.init)
        return .events(
            await call.operations.events(after: last), ofService: call.text("service"))
    },
]

private let endpoint = Schema.text(
    Schema.TextRule(
        pattern: #"^([0-9.]{7,15}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}$"#, words: endpointWords))

// MARK: For programs

private let servingOperations: [Operation] = [
    Operation(
        .get, "/metrics", "metrics", "For Prometheus.", answer: .text(prometheusContentType)
    ) { .text(try await $0.operations.metrics()) },
    Operation(
        .get, "/openapi.json", "description", "This description.", answer: .json(.document)
    ) { _ in .json(openAPIDocument) },
]

// MARK: The configuration

private let fileName = Operation.Parameter(
    name: "file", schema: Schema.line(1...4096),
    summary: "What error messages and the history call the text.", example: "martlet.yaml")

private let exampleFile: JSON = [
    "interfaces": ["eth1"],
    "services": [
        [
            "name": "web", "vip": "192.168.1.100", "port": 80, "protocol": "tcp",
            "forwarding": "l2-dsr",
            "backends": [
                ["name": "server-a", "address": "192.168.1.101"],
                ["name": "server-b", "address": "192.168.1.102", "weight": 2],
            ],
        ]
    ],
]

private let planToken = Operation.Parameter(
    name: "plan", schema: Schema.line(1...256),
    summary: "The token of a plan: it is refused if anything else would change.")

private let configurationOperations: [Operation] = [
    Operation(
        .get, "/v1/configuration", "configuration",
        "The configuration that counts, with all that it is made of.", answer: json("Generation")
    ) { .json(try await $0.operations.configuration().told) },
    Operation(
        .put, "/v1/configuration", "apply", "A text takes the place of the file's.", role: .admin,
        parameters: [
            fileName,
            planToken,
        ], body: .configuration(example: exampleFile), answer: json("Generation")
    ) { .json(try await $0.operations.apply($0.file, $0.plannedOrder).told) },
    Operation(
        .post, "/v1/plan", "plan", "What a text would change in the place of the file's.",
        parameters: [fileName], body: .configuration(example: exampleFile),
        answer: json("PlanReport")
    ) { .json(try await $0.operations.plan($0.file)) },
    Operation(
        .post, "/v1/rollback/plan", "planRollback",
        "What going back to an earlier generation would change.",
        body: .order(.reference("RollbackOrder"), example: ["generation": 1]),
        answer: json("PlanReport")
    ) { .json(try await $0.operations.plan($0.rollback)) },
    Operation(
        .post, "/v1/reload", "reload", "Reads the file again.", role: .admin,
        answer: json("Generation")
    ) { .json(try await $0.operations.apply(.reload, $0.order).told) },
    Operation(
        .post, "/v1/rollback", "rollback", "Goes back to an earlier generation.", role: .admin,
        parameters: [planToken],
        body: .order(.reference("RollbackOrder"), example: ["generation": 1]),
        answer: json("Generation")
    ) { .json(try await $0.operations.apply($0.rollback, $0.plannedOrder).told) },
    Operation(
        .get, "/v1/generations", "history", "The configurations that counted, newest first.",
        answer: list("Generation")
    ) { .json(try await $0.operations.history().map(\.told)) },
    Operation(
        .get, "/v1/generations/{number}", "generation", "One of them, with what it was made of.",
        answer: json("Generation")
    ) { .json(try await $0.operations.generation($0.number("number") ?? 0).told) },
]

extension Call {
    fileprivate var plannedOrder: ChangeOrder {
        var order = order
        order.plan = text("plan")
        return order
    }

    fileprivate var file: Proposal {
        .file(text: text, name: self.text("file") ?? "the API's text")
    }
}

// MARK: Services and backends

private let servicePath = "/v1/services/{service}"
private let backendPath = servicePath + "/backends/{backend}"

private let exampleService: JSON = [
    "vip": "192.168.1.110", "port": 53, "protocol": "udp", "forwarding": "l2-dsr",
    "backends": [["name": "server-a", "address": "192.168.1.101"]],
]
private let exampleBackend: JSON = ["address": "192.168.1.109", "weight": 2]

private let backendOperations: [Operation] = [
    Operation(.get, "/v1/services", "services", "All services.", answer: list("Service")) {
        .json(try await $0.operations.status().services)
    },
    Operation(.get, servicePath, "service", "A service.", answer: json("Service")) {
        .json(try await $0.presentService())
    },
    Operation(
        .put, servicePath, "setService", "Adds or changes a service that the file has not.",
        role: .admin, body: .configuration(example: exampleService), answer: json("Generation")
    ) { try await $0.apply(.setService($0.service, text: $0.text)) },
    Operation(
        .delete, servicePath, "removeService", "Removes a service that the file has not.",
        role: .admin, answer: json("Generation")
    ) { try await $0.apply(.removeService($0.service)) },
    Operation(
        .get, servicePath + "/backends", "backends", "The backends of a service.",
        answer: list("Backend")
    ) { .json(try await $0.presentService().backends) },
    Operation(.get, backendPath, "backend", "A backend.", answer: json("Backend")) {
        .json(try await $0.presentBackend())
    },
    Operation(
        .put, backendPath, "setBackend", "Adds or changes a backend that the file has not.",
        role: .admin, body: .configuration(example: exampleBackend), answer: json("Generation")
    ) { try await $0.apply(.setBackend($0.backend, text: $0.text)) },
    Operation(
        .delete, backendPath, "removeBackend", "Removes a backend that the file has not.",
        role: .admin, answer: json("Generation")
    ) { try await $0.apply(.removeBackend($0.backend)) },
    Operation(
        .get, backendPath + "/why-not", "whyNot", "What keeps a backend from new flows.",
        answer: json("Exclusion")
    ) { .json(try await $0.operations.exclusion(of: $0.backend)) },
    Operation(
        .put, backendPath + "/drain", "drain", "No new flows for a backend.", role: .admin,
        body: .order(
            .reference("DrainOrder"), example: ["deadline": "2100-01-31T12:00:00Z"]),
        answer: .nothing
    ) {
        try await $0.operations.drain($0.backend, $0.drainOrder, $0.order); return .nothing
    },
    Operation(
        .delete, backendPath + "/drain", "undrain", "Ends a drain.", role: .admin,
        answer: .nothing
    ) {
        try await $0.operations.undrain($0.backend, $0.order); return .nothing
    },
    Operation(
        .put, backendPath + "/weight", "setWeight", "Another weight than the file's.",
        role: .admin, body: .order(.reference("WeightOrder"), example: ["weight": 3]),
        answer: json("Generation")
    ) { try await $0.apply(.setWeight($0.backend, $0.weight)) },
    Operation(
        .delete, backendPath + "/weight", "resetWeight", "The file's weight again.",
        role: .admin, answer: json("Generation")
    ) { try await $0.apply(.setWeight($0.backend, nil)) },
    Operation(
        .put, backendPath + "/maintenance", "maintain",
        "Takes a backend out of service for as long as it takes.", role: .admin,
        body: .order(.reference("MaintenanceOrder"), example: ["reason": "disk is replaced"]),
        answer: .nothing
    ) {
        try await $0.operations.maintain($0.backend, $0.maintenanceOrder, $0.order)
        return .nothing
    },
    Operation(
        .delete, backendPath + "/maintenance", "endMaintenance", "It serves again.",
        role: .admin, answer: .nothing
    ) {
        try await $0.operations.maintain($0.backend, nil, $0.order); return .nothing
    },
]

extension Call {
    fileprivate func apply(_ proposal: Proposal) async throws -> Reply {
        .json(try await operations.apply(proposal, order).told)
    }

    fileprivate func presentService() async throws -> Status.Service {
        let name = service
        guard let service = try await operations.status().services.first(where: { $0.name == name })
        else { throw Refusal(.unknown, "there is no service \(name)") }
        return service
    }

    fileprivate func presentBackend() async throws -> Status.Backend {
        let reference = backend
        let backends = try await presentService().backends
        guard let backend = backends.first(where: { $0.name == reference.backend }) else {
            throw Refusal(.unknown, "there is no backend \(reference)")
        }
        return backend
    }
}
