import Control
import HTTPTypes

/// One thing that the API does: all that routing, rights and the description know of it.
struct Operation: Sendable {
    let method: HTTPRequest.Method
    /// `/v1/services/{service}`
    let path: PathTemplate
    /// One word, for programs that are made from the description, and for the audit log.
    let name: String
    let summary: String
    /// Who may.
    let role: Requester.Role
    let parameters: [Parameter]
    let body: Body
    let answer: Answer
    /// Statuses of refusals that no other does: 429.
    let refusals: [HTTPResponse.Status]
    let run: @Sendable (Call) async throws -> Reply

    /// Whether something is another way afterwards; it is written to the audit log.
    var isChange: Bool { role == .admin }

    /// Beside the path.
    struct Parameter: Sendable {
        enum Place: String, Sendable { case query, header }
        var place = Place.query
        var name: String
        var schema: Schema
        var summary: String
        var isRequired = false
        var example: JSON?
    }

    enum Body: Sendable {
        case none
        /// An object in JSON; an empty body stands for an object without members, unless one is
        /// required.
        case order(Schema, example: JSON)
        /// A text in YAML, or in JSON, which is YAML.
        case configuration(example: JSON)
    }

    enum Answer: Sendable {
        case json(Schema)
        case text(String)
        case events
        /// No more than that it was done.
        case nothing
    }

    init(
        _ method: HTTPRequest.Method, _ path: String, _ name: String, _ summary: String,
        role: Requester.Role = .reader, parameters: [Parameter] = [], body: Body = .none,
        answer: Answer, refusals: [HTTPResponse.Status] = [],
        run: @escaping @Sendable (Call) async throws -> Reply
    ) {
        self.method = method
        self.path = PathTemplate(path)
        self.name = name
        self.summary = summary
        self.role = role
        self.parameters = parameters
        self.body = body
        self.answer = answer
        self.refusals = refusals
        self.run = run
    }
}

/// What is sent back when all went well.
enum Reply: Sendable {
    case json(any Encodable & Sendable)
    case text(String)
    case events(AsyncStream<Event>, ofService: String?)
    case nothing
}

/// `/v1/services/{service}`: the parts of a path, some of which stand for names.
struct PathTemplate: Hashable, Sendable {
    let text: String
    private let parts: [Substring]

    init(_ text: String) {
        self.text = text
        parts = text.split(separator: "/", omittingEmptySubsequences: false)
    }

    /// The names of the parts that are not given.
    var names: [String] { parts.compactMap(Self.name) }

    /// What the parts that are not given are in a path; nil: it is another path.
    func match(_ path: [String]) -> [String: String]? {
        guard path.count == parts.count else { return nil }
        var values: [String: String] = [:]
        for (part, wanted) in zip(path, parts) {
            if let name = Self.name(wanted) {
                values[name] = part
            } else if part != wanted {
                return nil
            }
        }
        return values
    }

    private static func name(_ part: Substring) -> String? {
        part.hasPrefix("{") ? String(part.dropFirst().dropLast()) : nil
    }

    /// What may stand there.
    static func schema(of name: String) -> Schema {
        name == "number" ? .integer(1...Schema.exact) : Schema.name
    }
}
