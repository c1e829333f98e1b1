import Balancing
public import Control
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOPosix
import Packets

/// Asks the API; the command line is its first user.
public struct Client: Sendable {
    let socket: SocketPath
    /// For how many seconds an answer is waited for; that to a change of the configuration takes
    /// longer.
    private let patience: Int64

    /// In seconds: a busy machine may take some for a large configuration.
    public static let patience: Int64 = 30

    public init(at socket: SocketPath, patience seconds: Int64 = Self.patience) {
        self.socket = socket
        patience = seconds
    }

    // MARK: What it tells

    public func status() async throws -> Status { try await get("/v1/status") }

    public func counters() async throws -> CountersReport { try await get("/v1/counters") }

    public func metrics() async throws -> String {
        String(decoding: try await ask("/metrics").body, as: UTF8.self)
    }

    public func flows(_ filter: FlowFilter) async throws -> FlowPage {
        let numbers = [
            ("limit", "\(filter.limit)"), ("cursor", filter.cursor == 0 ? nil : "\(filter.cursor)"),
        ]
        let names = [
            ("service", filter.service), ("backend", filter.backend), ("state", filter.state),
        ]
        return try await get("/v1/flows" + query(names + numbers))
    }

    public func explain(_ packet: ExplainQuery) async throws -> Explanation {
        try await get(
            "/v1/explain"
                + query([
                    ("from", endpoint(packet.source, packet.sourcePort)),
                    ("to", endpoint(packet.destination, packet.destinationPort)),
                    ("protocol", packet.transport.name),
                    ("syn", packet.isNewFlow ? "true" : nil), ("interface", packet.interface),
                ]))
    }

    public func exclusion(of backend: BackendReference) async throws -> Exclusion {
        try await get(path(of: backend) + "/why-not")
    }

    // MARK: The configuration

    public func configuration() async throws -> Generation { try await get("/v1/configuration") }

    public func history() async throws -> [Generation] { try await get("/v1/generations") }

    public func generation(_ number: Int) async throws -> Generation {
        try await get("/v1/generations/\(number)")
    }

    /// What the text of a file would change.
    public func plan(text: String, file: String) async throws -> PlanReport {
        try await decoded(
            ask(
                "/v1/plan" + query([("file", file)]), .POST, Array(text.utf8), yaml,
                within: patienceWithChanges))
    }

    /// What going back would change.
    ///
    /// - Parameter generation: Nil: the one before this.
    public func planRollback(to generation: Int? = nil) async throws -> PlanReport {
        let order = try encoder().encode(RollbackOrder(to: generation))
        return try await decoded(
            ask("/v1/rollback/plan", .POST, Array(order), within: patienceWithChanges))
    }

    /// Has the text of a file take the place of what counts now.
    ///
    /// - Parameters:
    ///   - generation: Only if this one counts now; nil: whichever does.
    ///   - plan: Only if this is what changes: ``PlanReport/token``; nil: whatever does.
    public func apply(
        text: String, file: String, generation: Int? = nil, plan: String? = nil
    ) async throws -> Generation {
        try await decoded(
            ask(
                "/v1/configuration" + query([("file", file), ("plan", plan)]), .PUT,
                Array(text.utf8), yaml, ifMatch: generation, within: patienceWithChanges))
    }

    public func reload() async throws -> Generation {
        try await decoded(ask("/v1/reload", .POST, within: patienceWithChanges))
    }

    public func rollback(to generation: Int? = nil) async throws -> Generation {
        let order = try encoder().encode(RollbackOrder(to: generation))
        return try await decoded(
            ask("/v1/rollback", .POST, Array(order), within: patienceWithChanges))
    }

    public func setWeight(of backend: BackendReference, to weight: UInt16) async throws {
        let order = try encoder().encode(WeightOrder(weight))
        try await ask(path(of: backend) + "/weight", .PUT, Array(order))
    }

    /// Gives it the weight again that the file says.
    public func resetWeight(of backend: BackendReference) async throws {
        try await ask(path(of: backend) + "/weight", .DELETE)
    }

    // MARK: Orders

    public func drain(_ backend: BackendReference, _ order: DrainOrder) async throws {
        try await ask(path(of: backend) + "/drain", .PUT, Array(try encoder().encode(order)))
    }

    public func undrain(_ backend: BackendReference) async throws {
        try await ask(path(of: backend) + "/drain", .DELETE)
    }

    public func maintain(_ backend: BackendReference, _ order: MaintenanceOrder) async throws {
        try await ask(
            path(of: backend) + "/maintenance", .PUT, Array(try encoder().encode(order)))
    }

    public func endMaintenance(of backend: BackendReference) async throws {
        try await ask(path(of: backend) + "/maintenance", .DELETE)
    }

    // MARK: Asking

    private func path(of backend: BackendReference) -> String {
        "/v1/services/\(segment(backend.service))/backends/\(segment(backend.backend))"
    }

    private func query(_ items: [(String, String?)]) -> String {
        let present = items.compactMap { name, value in value.map { "\(name)=\(segment($0))" } }
        return present.isEmpty ? "" : "?" + present.joined(separator: "&")
    }

    /// Names of services and backends, and addresses, are as they are; what else somebody may ask
    /// for stays one segment (RFC 3986, 3.3), and is not found.
    private func segment(_ name: String) -> String {
        let plain = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:".utf8)
        return name.utf8.map { byte in
            if plain.contains(byte) { return String(UnicodeScalar(byte)) }
            let digits = String(byte, radix: 16, uppercase: true)
            return "%" + (byte < 16 ? "0" : "") + digits
        }.joined()
    }

    /// What the controller says it will not do, in its words.
    public struct Refused: Error, CustomStringConvertible {
        public let status: Int
        public let description: String
    }

    private func get<Value: Decodable>(_ path: String) async throws -> Value {
        try await decoded(ask(path))
    }

    /// The answer to what is not refused.
    @discardableResult
    private func ask(
        _ path: String, _ method: HTTPMethod = .GET, _ body: [UInt8] = [], _ type: String = json,
        ifMatch generation: Int? = nil, within seconds: Int64? = nil
    ) async throws -> Answer {
        var headers = HTTPHeaders()
        if !body.isEmpty { headers.add(name: "Content-Type", value: type) }
        if let generation { headers.add(name: "If-Match", value: "\"\(generation)\"") }
        let answer = try await fetch(
            path, method: method, headers: headers, body: body, within: seconds ?? patience)
        guard answer.status >= 300 else { return answer }
        throw refusal(of: path, status: answer.status, answer.body)
    }

    func refusal(of path: String, status: UInt, _ body: [UInt8]) -> Refused {
        let problem = try? JSONDecoder().decode(Problem.self, from: Data(body))
        return Refused(
            status: Int(status), description: problem?.detail ?? "\(path): HTTP \(status)")
    }

    private func decoded<Value: Decodable>(_ answer: Answer) throws -> Value {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        do {
            return try decoder.decode(Value.self, from: Data(answer.body))
        } catch {
            throw Failure(
                "read", "the answer of the controller", because: "\(error)",
                cure: "is the controller of the same version as this command?")
        }
    }

    func fetch(
        _ path: String, method: HTTPMethod = .GET, headers: HTTPHeaders = [:], body: [UInt8] = [],
        within seconds: Int64 = Self.patience
    ) async throws -> Answer {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let answer = loop.makePromise(of: Answer.self)
        let alarm = loop.scheduleTask(in: .seconds(seconds)) {
            answer.fail(Failure("ask for", path, because: "no answer in \(seconds) s", cure: nil))
        }
        defer { alarm.cancel() }
        let connection: any Channel
        do throws(Failure) {
            connection = try await socket.connect(on: loop) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandler(
                        NIOHTTPClientResponseAggregator(maxContentLength: answerLimit))
                    try pipeline.addHandler(AnswerReader(answer))
                }
            }
        } catch {
            answer.fail(error)
            throw error
        }
        defer { connection.close(promise: nil) }
        var head = HTTPRequestHead(
            version: .http1_1, method: method, uri: path,
            headers: ["Host": "martlet", "Connection": "close"])
        head.headers.add(contentsOf: headers)
        if !body.isEmpty { head.headers.add(name: "Content-Length", value: "\(body.count)") }
        connection.write(HTTPClientRequestPart.head(head), promise: nil)
        if !body.isEmpty {
            let bytes = ByteBuffer(bytes: body)
            connection.write(HTTPClientRequestPart.body(.byteBuffer(bytes)), promise: nil)
        }
        connection.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        return try await answer.futureResult.get()
    }
}

/// More than 32,767 backends take to tell.
private let answerLimit = 64 << 20
/// Many thousand backends are worked out and written in less, in seconds.
private let patienceWithChanges: Int64 = 120

private let json = "application/json"
private let yaml = "application/yaml"

/// `192.0.2.1:80`, `[2001:db8::1]:80`
private func endpoint(_ address: IPAddress, _ port: UInt16) -> String {
    address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)"
}

struct Answer: Sendable {
    var status: UInt
    var contentType: String?
    var allow: String?
    var tag: String?
    var body: [UInt8]
}

private final class AnswerReader: ChannelInboundHandler {
    typealias InboundIn = NIOHTTPClientResponseFull

    private let answer: EventLoopPromise<Answer>

    init(_ answer: EventLoopPromise<Answer>) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let response = Self.unwrapInboundIn(data)
        answer.succeed(
            Answer(
                status: response.head.status.code,
                contentType: response.head.headers.first(name: "Content-Type"),
                allow: response.head.headers.first(name: "Allow"),
                tag: response.head.headers.first(name: "ETag"),
                body: response.body.map { Array($0.readableBytesView) } ?? []))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { answer.fail(error) }

    func channelInactive(context: ChannelHandlerContext) {
        answer.fail(
            Failure(
                "read", "the answer", because: "the controller closed the connection", cure: nil))
    }
}
