import Balancing
import Control
import Foundation
import HTTPTypes
import Lab
import NIOHTTP1
import Testing

@testable import API

/// What the API of a real controller answers is what `/openapi.json` says of it.
@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"))
struct DescribedAnswerTests {
    private static let yaml = "application/yaml"
    private static let nodeSettings = Way.fullNAT.nodeSettings

    /// A file with `web`, of which some backends are left out, and whatever else.
    private static func file(
        _ backends: [String], called name: String = "web", scheduler: String = "maglev",
        _ more: String = ""
    ) -> String {
        let lines = zip(servers, Way.fullNAT.addresses(.v4)).filter { backends.contains($0.0) }
            .map { "      - { name: \($0.0), address: \($0.1), max-connections: 1000 }\n" }
        return """
            \(nodeSettings)
            services:
              - name: \(name)
                vip: 192.168.1.100
                port: 80
                forwarding: full-nat
                scheduler: \(scheduler)
                health-check: { type: http, path: /healthz, interval: 100ms, rise: 2, fall: 2 }
                backends:
            \(lines.joined())\(more)
            """
    }

    private static let dns = """
        vip: 192.168.1.110
        port: 53
        protocol: udp
        forwarding: full-nat
        backends: [{ name: server-a, address: 192.168.1.101 }]

        """

    @Test(.timeLimit(.minutes(2)))
    func `every answer is as the description has it, and every member occurs`() async throws {
        try await withNetwork(Way.fullNAT.topology) { network in
            _ = try await network.startServers(.fullNAT)
            _ = try await network.runController(configuration: Self.file(servers))
            try await network.waitForAllBackends(.v4)
            let node = network["balancer"]
            let socket = SocketPath(node.path("/run/martlet/martlet.sock"))
            var answers = Answers(client: Client(at: socket))
            try await order(&answers)
            // What a start would refuse is refused by a reload, and told.
            try node.write("services: 7\n", to: "/run/martlet.yaml")
            await #expect(throws: Client.Refused.self) { try await answers.client.reload() }
            try await eventually("drain and leaver have been counted") {
                try await answers.client.status().services.flatMap(\.backends)
                    .compactMap(\.drain).allSatisfy { $0.flowsLeft != nil }
            }
            for operation in operationTable where operation.method == .get {
                try await answers.ask(operation)
            }
            let third = Self.file(
                servers, called: "www", scheduler: "least-connections",
                "  - name: dns\n" + indented)
            try await answers.ask("plan", "?file=third.yaml", third)
            try await answers.ask("planRollback", "", "{}", type: "application/json")
            #expect(answers.mistakes == [])
            #expect(answers.neverSeen.subtracting(Self.rare) == [])
        }
    }

    private var indented: String {
        Self.dns.split(separator: "\n").map { "    \($0)\n" }.joined()
    }

    /// One of each that a status, a history or a plan can show.
    private func order(_ answers: inout Answers) async throws {
        try await answers.ask("setService", service: "dns", "", Self.dns)
        try await answers.ask(
            "setBackend", backend: "server-d", "", "{ address: 192.168.1.199 }")
        let (client, drained) = (answers.client, BackendReference("web", "server-a"))
        try await client.setWeight(of: BackendReference("web", "server-b"), to: 3)
        try await client.drain(drained, DrainOrder(deadline: .now + 3600))
        try await client.maintain(drained, MaintenanceOrder(reason: "its disk is replaced"))
        try await answers.ask(
            "apply", "?file=second.yaml", Self.file(["server-a", "server-b"]))
    }

    /// What a test can't have at will, or this one does not: each is in `FakeController`.
    private static let rare: Set<String> = [
        // Of an interface without the program, and what the kernel refuses.
        "Status.interfaces.obstacle", "Service.refusal",
        // Ports of their own, drains that are over, and how fast one was.
        "Backend.port", "Drain.cut", "Drain.secondsLeft", "CountersReport.services.backends.port",
        // Of a packet of which model and program disagree.
        "Explanation.contradiction",
        // Of slots in a certain phase, and flows with an entry.
        "Explanation.formerOwner", "Explanation.pin", "FlowPage.flows.slot",
    ]
}

/// Answers of a controller, held against their schemas.
private struct Answers {
    let client: Client
    private(set) var mistakes: [String] = []
    /// `Backend.weight`, of every answer.
    private var seen: Set<String> = []
    /// Those that could have been.
    private var possible: Set<String> = []

    init(client: Client) { self.client = client }

    var neverSeen: Set<String> { possible.subtracting(seen) }

    /// Asks for all that `operation`, which takes no body, can be asked for.
    mutating func ask(_ operation: API.Operation) async throws {
        if case .events = operation.answer { return try await readEvents() }
        let names = ["server-a", "server-b", "server-c", "server-d"]
        let parameters =
            operation.name == "explain"
            ? "?from=192.168.0.10:4711&to=192.168.1.100:80&syn=true" : ""
        let backends = operation.path.names.contains("backend") ? names : [""]
        for backend in backends {
            try await ask(operation.name, backend: backend, parameters, nil)
        }
    }

    /// - Parameter body: Nil: none.
    mutating func ask(
        _ name: String, service: String = "web", backend: String = "", _ query: String,
        _ body: String?, type: String = "application/yaml"
    ) async throws {
        let operation = try #require(operationTable.first { $0.name == name })
        let path = operation.path.text.replacing("{service}", with: service)
            .replacing("{backend}", with: backend).replacing("{number}", with: "2")
        let answer = try await client.fetch(
            path + query, method: .init(rawValue: operation.method.rawValue),
            headers: body == nil ? [:] : ["Content-Type": type], body: Array((body ?? "").utf8))
        let text = String(decoding: answer.body, as: UTF8.self)
        guard answer.status == 200 else {
            mistakes.append("\(path): \(answer.status) \(text)")
            return
        }
        guard case .json(let schema) = operation.answer else { return }
        let value = try JSON(reading: text)
        hold(value, against: schema, path)
        // A page may be empty, though there are more.
        if case .object(let members) = value, case .integer(let cursor)? = members["next"] {
            try await ask(name, "?cursor=\(cursor)", nil)
        }
    }

    /// All that have happened until now.
    private mutating func readEvents() async throws {
        let status = try await client.status()
        for try await event in client.events(after: 0) {
            let text = String(decoding: try encoder().encode(event), as: UTF8.self)
            hold(try JSON(reading: text), against: .reference("Event"), "event \(event.id)")
            // The last of them is the refused reload.
            if event.at >= status.configuration.refused ?? .distantPast { return }
        }
    }

    private mutating func hold(_ value: JSON, against schema: Schema, _ path: String) {
        mistakes += schema.errors(in: value, at: path).map(\.description)
        collect(schema, nil, "", &possible)
        collect(schema, value, "", &seen)
    }

    /// - Parameter value: Nil: whatever could be there.
    private func collect(
        _ schema: Schema, _ value: JSON?, _ name: String, _ members: inout Set<String>
    ) {
        switch (schema, value) {
        case (.reference(let name), _):
            if let schema = Schema.named[name] { collect(schema, value, name, &members) }
        case (.list(let element), nil), (.map(let element), nil):
            collect(element, nil, name, &members)
        case (.list(let element), .list(let values)?):
            for value in values { collect(element, value, name, &members) }
        case (.map(let element), .object(let values)?):
            for value in values.values { collect(element, value, name, &members) }
        case (.object(let known), _):
            var values: [String: JSON]?
            if case .object(let present)? = value { values = present }
            for member in known where value == nil || values?[member.name] != nil {
                members.insert("\(name).\(member.name)")
                collect(member.schema, values?[member.name], "\(name).\(member.name)", &members)
            }
        default: return
        }
    }
}
