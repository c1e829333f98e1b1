import Control
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1

/// Answers requests, by the table of operations.
struct Responder: HTTPResponder {
    typealias Context = Connection

    let operations: any Operations
    let audit: AuditLog
    let door: Door
    let seats: EventSeats
    let logger: Logger

    func respond(to request: Request, context: Connection) async throws -> Response {
        let target = RequestTarget(request.head.path ?? "")
        var intake = Intake(request)
        var response: Response
        do {
            response = try await answer(request, target, &intake, context.channel)
        } catch let error as HTTPParserError {
            // Hummingbird answers what is no HTTP.
            throw error
        } catch {
            let answer = problem(of: error, at: await operations.generation())
            response = try answer.response(to: target.path)
            // Of what was an answer before, the client sees all; a broken request ends here.
            try? await intake.discard()
        }
        response.headers[.eTag] = "\"\(await operations.generation())\""
        response.headers[.cacheControl] = "no-store"
        return request.method == .head ? response.createHeadResponse() : response
    }

    private func answer(
        _ request: Request, _ target: RequestTarget, _ intake: inout Intake, _ channel: any Channel
    ) async throws -> Response {
        let (operation, names) = try operation(for: request.method, target)
        guard operation.isChange else {
            var call = try await call(operation, request, target, names, &intake)
            call.order.requester.role = .reader
            return try await response(to: call, operation, request)
        }
        let requester = try await door.requester(on: channel)
        var entry = AuditLog.Entry(
            by: requester.name, role: requester.role, operation: operation.name,
            method: request.method.rawValue, path: target.path,
            object: names.object, before: await operations.generation())
        // A client may go before it has its answer; the change and its line belong together.
        try await audit.admit()
        do {
            guard requester.role == .admin else { throw notAdmin(requester, operation) }
            var call = try await call(operation, request, target, names, &intake)
            call.order.requester = requester
            let response = try await response(to: call, operation, request)
            entry.outcome = .done
            entry.status = response.status.code
            entry.after = await operations.generation()
            await audit.record(entry)
            return response
        } catch {
            entry.after = await operations.generation()
            let answer = problem(of: error, at: entry.after ?? entry.before, logs: false)
            entry.outcome = answer.status.code < 500 ? .refused : .failed
            entry.status = answer.status.code
            entry.reason = answer.problem.detail
            await audit.record(entry)
            throw error
        }
    }

    private func notAdmin(_ requester: Requester, _ operation: Operation) -> Refusal {
        Refusal(
            .forbidden,
            "\(requester.name) may read, and change nothing: \(operation.name) needs an admin\n"
                + "  the controller's `--admin` names those who are")
    }

    private func problem(of error: any Error, at generation: Int, logs: Bool = true)
        -> ProblemAnswer
    {
        var answer: ProblemAnswer
        switch error {
        case let error as ProblemAnswer: answer = error
        case let error as Refusal: answer = ProblemAnswer(error)
        default:
            if logs { logger.error("\(error)") }
            answer = ProblemAnswer(.internalServerError, "\(error)")
        }
        if answer.status == .preconditionFailed { answer.problem.generation = generation }
        return answer
    }

    // MARK: From a request to a call

    /// - Throws: ``ProblemAnswer`` if there is no such path, or it does not take this method (RFC
    ///   9110, 15.5.5 and 15.5.6).
    private func operation(
        for method: HTTPRequest.Method, _ target: RequestTarget
    ) throws(ProblemAnswer) -> (Operation, [String: String]) {
        guard let parts = target.parts else {
            throw ProblemAnswer([
                Problem.Mistake(
                    path: "path", found: quoted(target.path),
                    accepted: "UTF-8, each byte beyond a URL's letters as % and two digits")
            ])
        }
        let known = operationTable.compactMap { operation in
            operation.path.match(parts).map { (operation, $0) }
        }
        guard !known.isEmpty else {
            throw ProblemAnswer(.notFound, "\(method) \(target.path) is not of this API")
        }
        let wanted = method == .head ? .get : method
        if let found = known.first(where: { $0.0.method == wanted }) { return found }
        let methods = known.flatMap { $0.0.method == .get ? [.get, .head] : [$0.0.method] }
            .map(\.rawValue).joined(separator: ", ")
        var answer = ProblemAnswer(
            .methodNotAllowed, "\(target.path) takes no \(method), but \(methods)")
        answer.headers[.allow] = methods
        throw answer
    }

    private func call(
        _ operation: Operation, _ request: Request, _ target: RequestTarget,
        _ names: [String: String], _ intake: inout Intake
    ) async throws -> Call {
        let precondition = operation.isConditional ? try Precondition(request.headers) : .none
        var call = Call(
            operations: operations, values: try values(operation, request, target, names),
            order: ChangeOrder(Requester("", role: .reader)))
        switch operation.body {
        case .none:
            if try await intake.hasContent() {
                throw ProblemAnswer([
                    Problem.Mistake(path: "body", found: "a body", accepted: "none")
                ])
            }
        case .order(let schema, _):
            let text = try await intake.text(for: operation.body)
            call.members = try JSON.members(of: text, schema)
        case .configuration:
            call.text = try await intake.text(for: operation.body)
            if call.text.isEmpty {
                throw ProblemAnswer([
                    Problem.Mistake(
                        path: "body", found: "nothing", accepted: "a configuration in YAML or JSON")
                ])
            }
        }
        call.order.generation = try precondition.generation(at: await operations.generation())
        return call
    }

    /// - Throws: ``ProblemAnswer`` with all that is wrong with path, query and headers.
    private func values(
        _ operation: Operation, _ request: Request, _ target: RequestTarget,
        _ names: [String: String]
    ) throws(ProblemAnswer) -> [String: JSON] {
        var mistakes: [Problem.Mistake] = []
        var values: [String: JSON] = [:]
        func take(_ name: String, _ text: String, _ schema: Schema, at path: String) {
            let value = schema.value(of: text)
            mistakes += schema.errors(in: value, at: path)
            values[name] = value
        }
        for (name, text) in names.sorted(by: { $0.key < $1.key }) {
            take(name, text, PathTemplate.schema(of: name), at: "path.\(name)")
        }
        let known = operation.parameters.filter { $0.place == .query }
        for item in target.query ?? [] {
            guard let parameter = known.first(where: { $0.name == item.name }) else {
                mistakes.append(unknown(item.name, among: known))
                continue
            }
            if values[item.name] != nil {
                mistakes.append(
                    Problem.Mistake(
                        path: "query.\(item.name)", found: "it a second time", accepted: "one"))
            }
            take(item.name, item.value, parameter.schema, at: "query.\(item.name)")
        }
        if target.query == nil {
            mistakes.append(Problem.Mistake(path: "query", found: "no UTF-8", accepted: "UTF-8"))
        }
        for parameter in operation.parameters {
            let path = "\(parameter.place.rawValue).\(parameter.name)"
            if parameter.place == .header, let name = HTTPField.Name(parameter.name),
                let text = request.headers[name]
            {
                take(parameter.name, text, parameter.schema, at: path)
            } else if parameter.isRequired, values[parameter.name] == nil {
                mistakes.append(
                    Problem.Mistake(path: path, found: "nothing", accepted: parameter.schema.words))
            }
        }
        guard mistakes.isEmpty else { throw ProblemAnswer(mistakes) }
        return values
    }

    private func unknown(_ name: String, among known: [Operation.Parameter]) -> Problem.Mistake {
        Problem.Mistake(
            path: "query", found: "an unknown parameter \(quoted(name))",
            accepted: known.isEmpty ? "none" : known.map(\.name).joined(separator: ", "))
    }

    // MARK: From a call to an answer

    private func response(
        to call: Call, _ operation: Operation, _ request: Request
    ) async throws -> Response {
        if case .events = operation.answer { return try await events(call, operation, request) }
        switch try await operation.run(call) {
        case .json(let value): return try json(value)
        case .nothing: return Response(status: .noContent)
        case .text(let text):
            guard case .text(let type) = operation.answer else {
                return Response(status: .noContent)
            }
            return Response(
                status: .ok, headers: [.contentType: type],
                body: .init(byteBuffer: ByteBuffer(string: text)))
        case .events: return Response(status: .noContent)
        }
    }

    private func events(
        _ call: Call, _ operation: Operation, _ request: Request
    ) async throws -> Response {
        guard let seat = seats.take() else {
            throw ProblemAnswer(
                .tooManyRequests,
                "\(EventSeats.count) listeners are the most at once\n  end one of them")
        }
        guard request.method != .head,
            case .events(let events, let service) = try await operation.run(call)
        else {
            return Response(status: .ok, headers: [.contentType: "text/event-stream"])
        }
        return EventStream.response(events, ofService: service, to: request, seat)
    }
}

extension [String: String] {
    /// `web/server-a`; nil: the path names nothing. What can't be a name is quoted and short.
    fileprivate var object: String? {
        let parts = ["service", "backend"].compactMap { key in
            self[key].map { name in
                Schema.name.errors(in: .text(name), at: key).isEmpty ? name : quoted(name)
            }
        }
        return parts.isEmpty ? nil : parts.joined(separator: "/")
    }
}
