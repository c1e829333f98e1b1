import ConfigurationFile
import Control
import FoundationEssentials
import HTTPTypes
import Hummingbird
import NIOCore

/// What went wrong, as RFC 9457 has programs tell each other.
struct Problem: Hashable, Sendable, Codable {
    /// `about:blank`: no more than the status says.
    var type = "about:blank"
    var title: String
    var status: Int
    var detail: String?
    /// The path that was asked for.
    var instance: String?
    /// The generation that counts now, if another was wanted.
    var generation: Int?
    /// All that is wrong with what was sent, one by one.
    var errors: [Mistake]?

    /// One thing in what was sent that can't be accepted.
    struct Mistake: Hashable, Sendable, Codable {
        /// Where in a text it stands: `3:9`, line and column; nil: it is in no text.
        var place: String?
        /// `services[0].port`, `body.weight`, `query.limit`
        var path: String
        var found: String
        var accepted: String
        /// What was probably meant.
        var suggestion: String?

        var description: String {
            [place, path.isEmpty ? nil : path, "found \(found), accepted: \(accepted)"]
                .compactMap(\.self).joined(separator: ": ")
        }
    }
}

/// A problem on its way to whoever asked.
struct ProblemAnswer: Error {
    var status: HTTPResponse.Status
    var problem: Problem
    var headers: HTTPFields = [:]

    init(_ status: HTTPResponse.Status, _ detail: String) {
        self.status = status
        problem = Problem(title: status.reasonPhrase, status: status.code, detail: detail)
    }

    /// A request that this API can't make sense of.
    init(_ mistakes: [Problem.Mistake]) {
        self.init(.badRequest, mistakes.map(\.description).joined(separator: "\n"))
        problem.errors = mistakes
    }

    init(_ refusal: Refusal) {
        let status: HTTPResponse.Status =
            switch refusal.kind {
            case .unknown: .notFound
            case .conflict: .conflict
            case .invalid: .unprocessableContent
            case .stale: .preconditionFailed
            case .forbidden: .forbidden
            }
        self.init(status, refusal.description)
        problem.type = "urn:martlet:problem:\(refusal.kind.rawValue)"
        problem.errors = refusal.errors?.errors.map { error in
            Problem.Mistake(
                place: error.position.map { "\($0)" }, path: error.path, found: error.found,
                accepted: error.accepted, suggestion: error.suggestion)
        }
    }

    func response(to path: String) throws -> Response {
        var problem = problem
        problem.instance = path
        var response = try json(problem, status: status)
        response.headers[.contentType] = "application/problem+json"
        for field in headers { response.headers.append(field) }
        return response
    }
}

func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
    Response(
        status: status, headers: [.contentType: "application/json"],
        body: .init(byteBuffer: ByteBuffer(bytes: try encoder().encode(value))))
}

/// How the API writes values, and how its client reads them: dates as RFC 3339 has them.
func encoder() -> JSONEncoder {
    let encoder = JSONEncoder()
    encoder.dateEncodingStrategy = .iso8601
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return encoder
}
