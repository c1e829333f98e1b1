import Foundation
import NIOCore
import NIOHTTP1
import Testing

@testable import API

/// What no one can want: a problem that a program can read, and nothing changed.
struct BadInputTests {
    struct Request: Sendable, CustomTestStringConvertible {
        var method: HTTPMethod
        var path: String
        var type: String? = "application/json"
        var body: [UInt8] = []
        var headers: HTTPHeaders = [:]
        var status: UInt
        /// What the problem says.
        var words: String

        var testDescription: String { "\(method) \(path) \(status)" }
    }

    private static let backend = "/v1/services/web/backends/server-a"

    private static func put(
        _ end: String, _ body: String, _ status: UInt, _ words: String,
        type: String? = "application/json"
    ) -> Request {
        Request(
            method: .PUT, path: backend + end, type: type, body: Array(body.utf8), status: status,
            words: words)
    }

    private static let bodies: [Request] = [
        put("/weight", "", 400, "body.weight"), put("/weight", "[]", 400, "found a list"),
        put("/weight", "null", 400, "found null"), put("/weight", "3", 400, "found 3"),
        put("/weight", "{}", 400, "body.weight: found nothing"),
        put("/weight", #"{"weight":"3"}"#, 400, #"found "3", accepted: a whole number"#),
        put("/weight", #"{"weight":-1}"#, 400, "found -1"),
        put("/weight", #"{"weight":65536}"#, 400, "from 0 to 65535"),
        put("/weight", #"{"weight":1.5}"#, 400, "found 1.5"),
        put("/weight", #"{"weight":NaN}"#, 400, "a JSON value"),
        put("/weight", #"{"weight":1e999}"#, 400, "a double can hold"),
        put("/weight", #"{"weight":true}"#, 400, "found true"),
        put("/weight", #"{"weight":3,"wait":1}"#, 400, "unknown member \"wait\""),
        put("/weight", #"{"weight":3,"weight":4}"#, 400, "a second time"),
        put("/weight", #"{"weight":3"#, 400, "body"),
        put("/weight", #"{"weight":3}"#, 415, "text/plain", type: "text/plain"),
        put("/weight", #"{"weight":3}"#, 415, "no Content-Type", type: nil),
        put("/weight", #"{"weight":3}"#, 415, "utf-16", type: "application/json; charset=utf-16"),
        put("/drain", #"{"deadline":"soon"}"#, 400, "a date and time"),
        put("/drain", #"{"isForced":"yes"}"#, 400, "true or false"),
        put("/maintenance", #"{"reason":"a\nb"}"#, 400, "in one line"),
        put("/maintenance", #"{"reason":""}"#, 400, "1 to 256"),
        put("", "- a", 415, "text/html", type: "text/html"),
        put("", "", 400, "a configuration", type: "application/yaml"),
        Request(
            method: .PUT, path: backend + "/weight", body: [0x22, 0xff, 0x22], status: 400,
            words: "not UTF-8"),
        Request(
            method: .PUT, path: backend + "/weight",
            body: [UInt8](repeating: UInt8(ascii: "["), count: 60_000), status: 400,
            words: "at most 32 levels"),
        Request(
            method: .PUT, path: backend + "/weight",
            body: [UInt8](repeating: UInt8(ascii: " "), count: 1 << 20), status: 413,
            words: "65536 bytes"),
        Request(
            method: .PUT, path: "/v1/configuration", type: "application/yaml",
            body: [UInt8](repeating: UInt8(ascii: "#"), count: 5 << 20), status: 413,
            words: "4194304 bytes"),
        Request(
            method: .POST, path: "/v1/reload", body: [1], status: 400, words: "found a body"),
        Request(
            method: .GET, path: "/v1/status", body: [1], status: 400, words: "found a body"),
        Request(
            method: .POST, path: "/v1/rollback", body: Array(#"{"generation":0}"#.utf8),
            status: 400, words: "found 0"),
    ]

    private static func get(_ path: String, _ status: UInt, _ words: String) -> Request {
        Request(method: .GET, path: path, status: status, words: words)
    }

    private static let targets: [Request] = [
        get("/v1/status?verbose=1", 400, #"unknown parameter "verbose", accepted: none"#),
        get("/v1/status/", 404, "not of this API"), get("/v1//status", 404, "not of this API"),
        get("/V1/status", 404, "not of this API"), get("/v1/%00", 404, "not of this API"),
        get("/v1/%ff", 400, "UTF-8"), get("/v1/flows?limit=0", 400, "from 1 to 1000"),
        get("/v1/flows?limit=1001", 400, #"found 1001"#),
        get("/v1/flows?limit=-1", 400, #"found "-1""#), get("/v1/flows?limit=", 400, "found \"\""),
        get("/v1/flows?limit=1&limit=2", 400, "a second time"),
        get("/v1/flows?state=open", 400, "half-open, established"),
        get("/v1/flows?cursor=99999999999999999999", 400, "query.cursor"),
        get("/v1/flows?service=%ff", 400, "no UTF-8"),
        get("/v1/flows?service=nobody", 404, "there is no service nobody"),
        get("/v1/explain", 400, "query.to: found nothing"),
        get("/v1/explain?from=1.2.3.4:1&to=1.2.3.4", 400, "an address and a port"),
        get("/v1/explain?from=1.2.3.4:1&to=1.2.3.400:1", 422, "an address and a port"),
        get("/v1/explain?from=1.2.3.4:1&to=1.2.3.4:65536", 422, "an address and a port"),
        get("/v1/explain?from=1.2.3.4:1&to=%5B::1%5D:1", 422, "different families"),
        get("/v1/explain?from=1.2.3.4:1&to=1.2.3.4:1&syn=1", 400, "true or false"),
        get("/v1/explain?from=1.2.3.4:1&to=1.2.3.4:1&protocol=sctp", 400, "tcp, udp"),
        get("/v1/generations/one", 400, "a whole number"),
        get("/v1/generations/0", 400, "a whole number"),
        get("/v1/generations/7", 404, "there is no generation 7"),
        get("/v1/services/nobody", 404, "there is no service nobody"),
        get("/v1/services/web%2F..", 400, "path.service"),
        get("/v1/services/we%0Ab", 400, "path.service"),
        get("/v1/services/" + String(repeating: "a", count: 64), 400, "1 to 63"),
        get(backend + "x", 404, "there is no backend web/server-ax"),
        get(backend + "/drain", 405, "takes no GET, but PUT, DELETE"),
    ]

    private static let conditions: [Request] = [
        Request(
            method: .DELETE, path: backend + "/weight", headers: ["If-Match": "1"], status: 400,
            words: "generations in quotes"),
        Request(
            method: .DELETE, path: backend + "/weight", headers: ["If-Match": "\"7\""], status: 412,
            words: "generation 1 counts now"),
        Request(
            method: .PUT, path: "/v1/configuration?plan=other", type: "application/yaml",
            body: Array(FakeController.file.utf8), status: 412, words: "plan-1"),
        Request(
            method: .GET, path: "/v1/events", headers: ["Last-Event-ID": "x"], status: 400,
            words: "header.Last-Event-ID"),
        Request(method: .DELETE, path: "/v1/services/web", status: 409, words: "the file's"),
        Request(method: .PATCH, path: "/v1/status", status: 405, words: "but GET, HEAD"),
        Request(
            method: .OPTIONS, path: "/v1/configuration", status: 405, words: "GET, HEAD, PUT"),
    ]

    @Test(arguments: bodies + targets + conditions)
    func `it is refused in words, and changes nothing`(request: Request) async throws {
        let controller = FakeController()
        try await withServer(controller) { served in
            var headers = request.headers
            if let type = request.type, !request.body.isEmpty {
                headers.add(name: "Content-Type", value: type)
            }
            let answer = try await served.client.fetch(
                request.path, method: request.method, headers: headers, body: request.body,
                within: 60)
            #expect(answer.status == request.status)
            #expect(answer.contentType == "application/problem+json")
            #expect(answer.tag == "\"1\"")
            let problem = try JSONDecoder().decode(Problem.self, from: Data(answer.body))
            #expect(problem.status == Int(request.status))
            #expect(problem.detail?.contains(request.words) == true, "\(problem.detail ?? "")")
            #expect(request.status != 412 || problem.generation == 1)
        }
        #expect(controller.done == [])
    }

    @Test func `all that is wrong with a configuration is told one by one`() async throws {
        let controller = FakeController()
        try await withServer(controller) { served in
            let answer = try await served.client.fetch(
                "/v1/plan?file=a.yaml", method: .POST,
                headers: ["Content-Type": "application/yaml"],
                body: Array("interfaces: [eth1]\nservises: []\nnode: 1\n".utf8))
            #expect(answer.status == 422)
            let problem = try JSONDecoder().decode(Problem.self, from: Data(answer.body))
            #expect(problem.type == "urn:martlet:problem:invalid")
            #expect(problem.instance == "/v1/plan")
            #expect(problem.errors?.map(\.path) == ["servises", "node"])
            #expect(problem.errors?[0].place == "2:1")
            #expect(problem.errors?[0].suggestion == "services")
            #expect(problem.detail?.contains("a.yaml:2:1: servises: found") == true)
        }
    }

    @Test(arguments: [
        "GARBAGE\r\n\r\n", "\0\0\0", "GET /v1/status HTTP/9.9\r\n\r\n",
        "GET /v1/reload HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/reload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        "POST /v1/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab",
        "POST /v1/reload HTTP/1.1\r\nX: " + String(repeating: "a", count: 200_000),
        "POST /v1/reload HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc",
    ])
    func `what is no HTTP does nothing, and others are served`(text: String) async throws {
        let controller = FakeController()
        try await withServer(controller) { served in
            let connection = try await served.socket.connect()
            // The server may hang up before it has all.
            try? await connection.writeAndFlush(ByteBuffer(string: text))
            _ = try await served.client.status()
            try? await connection.close()
            _ = try await served.client.status()
        }
        #expect(controller.done == [])
    }

    @Test func `a thousand at once are all answered`() async throws {
        let controller = FakeController()
        // Each of them has a connection, and so have we.
        var files = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)
        files.rlim_cur = files.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)
        try await withServer(controller) { served in
            let path = Self.backend + "/weight"
            let statuses = try await withThrowingTaskGroup(of: (Int, UInt).self) { tasks in
                for number in 0..<1000 {
                    tasks.addTask {
                        // Every other one is no order.
                        let body = number % 2 == 0 ? #"{"weight":3}"# : #"{"weight":"#
                        let answer = try await served.client.fetch(
                            path, method: .PUT, headers: ["Content-Type": "application/json"],
                            body: Array(body.utf8), within: 120)
                        return (number, answer.status)
                    }
                }
                var statuses = [UInt](repeating: 0, count: 1000)
                for try await (number, status) in tasks { statuses[number] = status }
                return statuses
            }
            #expect(statuses == (0..<1000).map { $0 % 2 == 0 ? 200 : 400 })
            #expect(try served.audit().count == 1000)
        }
        #expect(controller.done.count == 500)
    }
}
