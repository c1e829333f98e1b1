import Foundation

/// What `martlet counters --json` says, as far as the demonstration needs it.
struct CountersRead: Hashable, Sendable {
    /// Packets that arrived for the first service.
    let arrived: Int
    /// Packets that were sent to its backends, by name.
    let sent: [String: Int]

    init(json: String) throws {
        let report = try JSONDecoder().decode(Report.self, from: Data(json.utf8))
        arrived = report.services.first?.traffic.packets ?? -1
        sent = Dictionary(
            uniqueKeysWithValues: (report.services.first?.backends ?? []).map {
                ($0.name, $0.traffic.packets)
            })
    }

    private struct Report: Decodable {
        let services: [Service]
    }
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
