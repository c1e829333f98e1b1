import ConfigurationFile
import Control
import Foundation
import NIOHTTP1
import Testing

@testable import API

struct ChangeTests {
    @Test func `each order of the client is carried out once, and written down`() async throws {
        let controller = FakeController()
        try await withServer(controller) { served in
            let client = served.client
            let backend = BackendReference("web", "server-a")
            try await client.setWeight(of: backend, to: 7)
            try await client.resetWeight(of: backend)
            try await client.drain(backend, DrainOrder())
            try await client.undrain(backend)
            try await client.maintain(backend, MaintenanceOrder(reason: "disk"))
            try await client.endMaintenance(of: backend)
            _ = try await client.apply(
                text: FakeController.file, file: "new.yaml", generation: 3, plan: "plan-3")
            _ = try await client.reload()
            let last = try await client.rollback()
            #expect(last.number == 6)
            #expect(try await client.rollback(to: 1).cause == "back to 1")
            #expect(try await client.history().map(\.number) == [7, 6, 5, 4, 3, 2, 1])
            #expect(try await client.generation(1).layers?.text == FakeController.file)
            let lines = try served.audit()
            #expect(
                lines.compactMap { $0["operation"] } == [
                    "setWeight", "resetWeight", "drain", "undrain", "maintain", "endMaintenance",
                    "apply", "reload", "rollback", "rollback",
                ])
            #expect(lines.allSatisfy { $0["outcome"] == "done" && $0["role"] == "admin" })
            #expect(lines[0]["object"] == "web/server-a")
            #expect(lines[0]["by"]?.hasPrefix("uid \(getuid())") == true)
            #expect(lines[0]["by"]?.hasSuffix("(pid \(getpid()))") == true)
            #expect(lines[0]["before"] == "1")
            #expect(lines[0]["after"] == "2")
        }
        #expect(controller.done.count == 10)
        #expect(controller.done.first == "web/server-a: weight 7")
    }

    @Test func `what nobody asked for over the API is written down too, done or not`()
        async throws
    {
        try await withDirectory { directory in
            let served = ServedAPI(socket: SocketPath(directory + "/none"), directory: directory)
            let audit = try AuditLog(at: served.auditPath, logger: silent)
            let hangup = Requester.controller("SIGHUP")
            try await audit.follow("reload", by: hangup, at: 7) {
                Generation(number: 8, applied: .now, by: "", cause: "", summary: "")
            }
            await #expect(throws: Refusal.self) {
                try await audit.follow("reload", by: hangup, at: 8) {
                    throw Refusal(.invalid, "it is no YAML")
                }
            }
            let lines = try served.audit()
            #expect(lines.map { $0["by"] } == ["SIGHUP", "SIGHUP"])
            #expect(lines.map { $0["outcome"] } == ["done", "refused"])
            #expect(lines.map { $0["after"] } == ["8", "8"])
            #expect(lines[1]["reason"] == "it is no YAML")
            #expect(lines[0]["path"] == nil)
        }
    }

    @Test func `what is no name is short in the audit log, and so is its path`() async throws {
        let long = String(repeating: "e%CC%81%CC%82", count: 2000)
        try await withServer(FakeController()) { served in
            for name in ["we%0Ab", long] {
                let answer = try await served.client.fetch(
                    "/v1/services/\(name)/backends/server-a/weight", method: .DELETE)
                #expect(answer.status == 400)
            }
            let lines = try served.audit()
            #expect(lines[0]["object"] == "\"we\u{fffd}b\"/server-a")
            #expect(try #require(lines[1]["object"]).utf8.count < 400)
            #expect(try #require(lines[1]["path"]).utf8.count <= 1000)
            #expect(try #require(lines[1]["reason"]).utf8.count <= 1000)
        }
    }

    @Test(arguments: [
        ("abc", 3, "abc"), ("abc", 2, "ab"), ("é", 1, ""), ("aé", 2, "a"), ("aé", 3, "aé"),
        ("e\u{301}\u{302}", 3, "e\u{301}"), ("", 0, ""),
    ])
    func `a text is cut between scalars`(text: String, count: Int, start: String) {
        #expect(text.cut(toBytes: count).unicodeScalars.elementsEqual(start.unicodeScalars))
    }

    @Test func `what a change is decided on is what it is made at`() async throws {
        let controller = FakeController()
        try await withServer(controller) { served in
            let path = "/v1/services/web/backends/server-a/weight"
            func put(_ match: String) async throws -> Answer {
                try await served.client.fetch(
                    path, method: .PUT,
                    headers: [
                        "If-Match": match, "Content-Type": "application/json; charset=UTF-8",
                    ],
                    body: Array(#"{"weight":7}"#.utf8))
            }
            let first = try await put("\"1\"")
            #expect(first.status == 200)
            #expect(first.tag == "\"2\"")
            #expect(try await put("\"1\"").status == 412)
            #expect(try await put("\"1\", \"2\"").status == 200)
            #expect(try await put("*").tag == "\"4\"")
            #expect(
                try served.audit().map { $0["outcome"] } == ["done", "refused", "done", "done"])
            #expect(try served.audit()[1]["reason"]?.contains("generation 2 counts now") == true)
        }
        #expect(controller.done.count == 3)
    }

    @Test func `services and backends of the API come and go`() async throws {
        try await withServer(FakeController()) { served in
            func send(_ method: HTTPMethod, _ path: String, _ body: String = "") async throws
                -> UInt
            {
                try await served.client.fetch(
                    "/v1/services/" + path, method: method,
                    headers: body.isEmpty ? [:] : ["Content-Type": "application/yaml"],
                    body: Array(body.utf8)
                ).status
            }
            let service = """
                vip: 192.168.1.110
                port: 53
                protocol: udp
                forwarding: l2-dsr
                backends: [ { name: server-a, address: 192.168.1.101 } ]
                """
            let statuses = [
                try await send(.PUT, "dns", service), try await send(.GET, "dns"),
                try await send(.PUT, "dns/backends/b", "address: 192.168.1.9"),
                try await send(.GET, "dns/backends/b"), try await send(.DELETE, "dns/backends/b"),
                try await send(.GET, "dns/backends/b"), try await send(.PUT, "dns", "vip: nowhere"),
                try await send(.DELETE, "dns"), try await send(.GET, "dns"),
            ]
            #expect(statuses == [200, 200, 200, 200, 200, 404, 422, 200, 404])
        }
    }

    @Test func `what can't be written down is not done`() async throws {
        let controller = FakeController()
        try await withServer(controller) { served in
            // Renamed, and nothing can be made in its place.
            try FileManager.default.removeItem(atPath: served.auditPath)
            try FileManager.default.createDirectory(
                atPath: served.auditPath, withIntermediateDirectories: false)
            let answer = try await served.client.fetch("/v1/reload", method: .POST)
            #expect(answer.status == 500)
            #expect(
                String(decoding: answer.body, as: UTF8.self)
                    .contains("cannot open the audit log \(served.auditPath): Is a directory (21)"))
            _ = try await served.client.status()
        }
        #expect(controller.done == [])
    }

    @Test func `a renamed audit log is begun anew`() async throws {
        try await withServer(FakeController()) { served in
            _ = try await served.client.reload()
            let old = served.directory + "/audit.log.1"
            try FileManager.default.moveItem(atPath: served.auditPath, toPath: old)
            _ = try await served.client.reload()
            _ = try await served.client.reload()
            #expect(try served.audit().count == 2)
            #expect(
                try String(contentsOfFile: old, encoding: .utf8).split(separator: "\n").count == 1)
            let attributes = try FileManager.default.attributesOfItem(atPath: served.auditPath)
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o640)
        }
    }

    @Test(arguments: ["/nowhere/at/all/audit.log", "/dev/null/audit.log"])
    func `an audit log that can't be is told before anything begins`(path: String) {
        let failure = #expect(throws: Failure.self) { try AuditLog(at: path, logger: silent) }
        #expect(failure?.description.contains("`--audit-log`") == true)
    }
}
