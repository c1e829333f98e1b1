import Foundation

/// What `martlet counters --json` says, as far as the demonstration needs it.
struct CountersRead: Hashable, Sendable {
    /// Packets that arrived for the first service; nil: there is none.
    var arrived: Int?
    /// Packets that were sent to its backends, by name.
    var sent: [String: Int]

    init(arrived: Int?, sent: [String: Int]) {
        self.arrived = arrived
        self.sent = sent
    }

    init(json: String) throws {
        let service = try JSONDecoder().decode(Report.self, from: Data(json.utf8)).services.first
        let backends = service?.backends.map { ($0.name, $0.traffic.packets) } ?? []
        self.init(
            arrived: service?.traffic.packets,
            sent: Dictionary(backends, uniquingKeysWith: +))
    }

    private struct Report: Decodable { let services: [Service] }
    private struct Traffic: Decodable { let packets: Int }
    private struct Service: Decodable {
        let traffic: Traffic
        let backends: [Backend]
    }
    private struct Backend: Decodable {
        let name: String
        let traffic: Traffic
    }
}
