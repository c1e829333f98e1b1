import Balancing
import Control
import HTTPTypes
import Packets

/// A request that was found to be one: all its values are as the table of operations has them.
struct Call: Sendable {
    let operations: any Operations
    /// Of the path, the query and the headers, by name.
    var values: [String: JSON]
    /// Of an order, by name.
    var members: [String: JSON] = [:]
    /// Of a configuration.
    var text = ""
    /// For whom, and under which conditions, if it is a change.
    var order: ChangeOrder

    func text(_ name: String) -> String? {
        guard case .text(let text) = values[name] else { return nil }
        return text
    }

    func number(_ name: String) -> Int? {
        guard case .integer(let number) = values[name] else { return nil }
        return number
    }

    func isTrue(_ name: String) -> Bool { values[name] == .boolean(true) }

    /// The names of a path are checked, and there, before anything is called.
    var service: String { text("service") ?? "" }
    var backend: BackendReference { BackendReference(service, text("backend") ?? "") }

    // MARK: Orders

    private func isTrueMember(_ name: String) -> Bool { members[name] == .boolean(true) }

    var drainOrder: DrainOrder {
        var order = DrainOrder(isForced: isTrueMember("isForced"))
        if case .text(let text) = members["deadline"] { order.deadline = moment(text) }
        return order
    }

    var maintenanceOrder: MaintenanceOrder {
        var order = MaintenanceOrder(isForced: isTrueMember("isForced"))
        if case .text(let text) = members["reason"] { order.reason = text }
        return order
    }

    var weight: UInt16? {
        guard case .integer(let weight) = members["weight"] else { return nil }
        return UInt16(exactly: weight)
    }

    var rollback: Proposal {
        guard case .integer(let number) = members["generation"] else { return .rollback(to: nil) }
        return .rollback(to: number)
    }

    // MARK: Questions

    var flowFilter: FlowFilter {
        FlowFilter(
            service: text("service"), backend: text("backend"), state: text("state"),
            cursor: UInt64(number("cursor") ?? 0), limit: number("limit") ?? 100)
    }

    /// - Throws: ``ProblemAnswer`` for addresses that are none.
    func explainQuery() throws(ProblemAnswer) -> ExplainQuery {
        let (source, sourcePort) = try endpoint("from")
        let (destination, destinationPort) = try endpoint("to")
        guard source.family == destination.family else {
            throw ProblemAnswer(
                .unprocessableContent, "from and to are addresses of different families")
        }
        let transport = Transport.allCases.first { $0.name == text("protocol") } ?? .tcp
        return ExplainQuery(
            source: source, sourcePort: sourcePort, destination: destination,
            destinationPort: destinationPort, transport: transport,
            isNewFlow: isTrue("syn") || transport == .udp, interface: text("interface"))
    }

    private func endpoint(_ name: String) throws(ProblemAnswer) -> (IPAddress, UInt16) {
        let text = text(name) ?? ""
        let colon = text.lastIndex(of: ":") ?? text.endIndex
        let address = text[..<colon].drop { $0 == "[" }.prefix { $0 != "]" }
        guard let address = IPAddress(String(address)),
            let port = UInt16(text[colon...].dropFirst())
        else {
            let mistake = Problem.Mistake(
                path: "query.\(name)", found: quoted(text), accepted: endpointWords)
            var answer = ProblemAnswer(.unprocessableContent, mistake.description)
            answer.problem.errors = [mistake]
            throw answer
        }
        return (address, port)
    }
}

let endpointWords = "an address and a port, like 192.0.2.1:80 or [2001:db8::1]:80"
