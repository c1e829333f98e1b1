import Foundation

/// What `martlet status --json` says of the first service, as far as the demonstration needs it.
struct StatusRead: Hashable, Sendable {
    /// How many slots the service has.
    var total: Int
    /// How many slots each backend owns, by name.
    var slots: [String: Int]
    /// `up`, `down` or `unknown`, by name.
    var states: [String: String]
    /// What the last probe found, by name.
    var reasons: [String: String]

    init(total: Int, slots: [String: Int], states: [String: String], reasons: [String: String]) {
        self.total = total
        self.slots = slots
        self.states = states
        self.reasons = reasons
    }

    init(json: String) throws {
        let service = try JSONDecoder().decode(Report.self, from: Data(json.utf8)).services.first
        let backends = service?.backends ?? []
        func byName<Value>(_ value: (Backend) -> Value) -> [String: Value] {
            Dictionary(backends.map { ($0.name, value($0)) }, uniquingKeysWith: { $1 })
        }
        self.init(
            total: service?.slots ?? 0, slots: byName(\.slots), states: byName(\.health.state),
            reasons: byName(\.health.reason))
    }

    /// Whether the backend is down and no slot names it any more: no packet goes there.
    func hasLeft(_ backend: String) -> Bool { states[backend] == "down" && slots[backend] == 0 }

    /// Whether every backend but `lost` kept its slots since `before`, and got all of its.
    func hasInherited(from lost: String, since before: StatusRead) -> Bool {
        guard let gone = before.slots[lost], gone > 0, slots[lost] == 0 else { return false }
        let others = before.slots.filter { $0.key != lost }
        return total == before.total && slots.values.reduce(0, +) == total
            && others.allSatisfy { (slots[$0.key] ?? 0) >= $0.value }
    }

    private struct Report: Decodable { let services: [Service] }
    private struct Service: Decodable {
        let slots: Int
        let backends: [Backend]
    }
    private struct Backend: Decodable {
        let name: String
        let slots: Int
        let health: Condition
    }
    private struct Condition: Decodable {
        let state: String
        let reason: String
    }
}
