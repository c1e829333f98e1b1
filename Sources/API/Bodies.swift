import ConfigurationFile
import HTTPTypes
import Hummingbird
import NIOCore

extension Operation.Body {
    /// Bytes, at most: orders are short; a configuration is as long as a file may be.
    var limit: Int {
        switch self {
        case .none: 0
        case .order: 64 << 10
        case .configuration: Limits.fileSize
        }
    }

    /// Media types, the first one being that of the examples.
    fileprivate var types: [String] {
        switch self {
        case .none: []
        case .order: ["application/json"]
        case .configuration: ["application/yaml", "application/json"]
        }
    }
}

extension Operation {
    /// Whether nothing is no body for it.
    var needsBody: Bool {
        switch body {
        case .none: false
        case .configuration: true
        case .order(let schema, _): !schema.errors(in: [:], at: "").isEmpty
        }
    }
}

/// What is left to be read of a request.
///
/// A client that is refused may still be sending, and some read no answer before they are done: so
/// what is refused is read too, but not kept, and not without end.
struct Intake {
    /// More than anybody sends by mistake.
    private static let mostDiscarded = 64 << 20

    private let headers: HTTPFields
    private var parts: RequestBody.AsyncIterator
    private var isAtEnd = false

    init(_ request: Request) {
        headers = request.headers
        parts = request.body.makeAsyncIterator()
    }

    /// Whether the request has a body that is not empty; some clients announce one that is.
    mutating func hasContent() async throws -> Bool {
        // RFC 9112, 6.
        guard headers[.transferEncoding] != nil || headers[.contentLength] != nil else {
            return false
        }
        while let part = try await parts.next() {
            if part.readableBytes > 0 { return true }
        }
        isAtEnd = true
        return false
    }

    /// Reads on until the client is done.
    mutating func discard() async throws {
        var count = 0
        while !isAtEnd, count < Self.mostDiscarded {
            guard let part = try await parts.next() else { return isAtEnd = true }
            count += part.readableBytes
        }
    }

    /// The text of a body.
    ///
    /// - Throws: ``ProblemAnswer`` if it is of another type, too long, or no UTF-8.
    mutating func text(for body: Operation.Body) async throws -> String {
        let limit = body.limit
        let tooLong = ProblemAnswer(
            .contentTooLarge, "the body has more than \(limit) bytes, which are the most here")
        if let length = headers[.contentLength].flatMap({ Int($0) }), length > limit {
            throw tooLong
        }
        var buffer = ByteBuffer()
        while let part = try await parts.next() {
            if part.readableBytes > 0 { try checkType(body.types) }
            guard buffer.readableBytes + part.readableBytes <= limit else { throw tooLong }
            buffer.writeImmutableBuffer(part)
        }
        isAtEnd = true
        guard let text = String(validating: buffer.readableBytesView, as: UTF8.self) else {
            throw ProblemAnswer([
                Problem.Mistake(
                    path: "body", found: "bytes that are not UTF-8", accepted: "UTF-8")
            ])
        }
        return text
    }

    private func checkType(_ accepted: [String]) throws(ProblemAnswer) {
        let fields = headers[values: .contentType]
        let parts = (fields.count == 1 ? fields[0] : "").split(separator: ";").map { part in
            part.filter { $0 != " " && $0 != "\t" && $0 != "\"" }.lowercased()
        }
        let isUTF8 = parts.dropFirst().allSatisfy {
            !$0.hasPrefix("charset=") || ["charset=utf-8", "charset=us-ascii"].contains($0)
        }
        if isUTF8, let type = parts.first, accepted.contains(type) { return }
        let found = fields.isEmpty ? "no Content-Type" : fields.map(quoted).joined(separator: ", ")
        var answer = ProblemAnswer(
            .unsupportedMediaType,
            "found \(found), accepted: \(accepted.joined(separator: " or ")), in UTF-8")
        answer.headers[.accept] = accepted.joined(separator: ", ")
        throw answer
    }
}

extension JSON {
    /// The members of an order; none if the body is empty and nothing is required of it.
    ///
    /// - Throws: ``ProblemAnswer`` with all that is wrong with it.
    static func members(
        of text: String, _ schema: Schema
    ) throws(ProblemAnswer) -> [String: JSON] {
        let value: JSON
        do throws(JSONRefusal) {
            value = text.isEmpty ? [:] : try JSON(reading: text)
        } catch {
            throw ProblemAnswer([
                Problem.Mistake(
                    place: "\(error.line):\(error.column)", path: "body", found: error.found,
                    accepted: error.accepted)
            ])
        }
        let mistakes = schema.errors(in: value, at: "body")
        guard mistakes.isEmpty, case .object(let members) = value else {
            throw ProblemAnswer(mistakes)
        }
        return members
    }
}
