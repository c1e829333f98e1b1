import Foundation
import Lab

/// A service as it stands in a configuration file.
struct ServiceText {
    let name: String
    let vip: String
    /// Keys that not every service has: `port: 80`, `protocol: udp`.
    let keys: [String]
    let way: Way
    /// By name.
    let backends: [(name: String, address: String)]

    /// - Parameters:
    ///   - vip: The lab's VIP unless there is another.
    ///   - outer: The family of the backends' addresses; of the VIP, if it isn't said.
    ///   - only: The names of its backends; all servers, if they aren't said.
    init(
        _ name: String, _ way: Way, _ family: Family, vip: String? = nil, outer: Family? = nil,
        only: [String] = servers, _ keys: String...
    ) {
        self.name = name
        self.vip = vip ?? family.rawValue
        self.keys = keys
        self.way = way
        backends = zip(servers, way.addresses(outer ?? family))
            .filter { only.contains($0.0) }
            .map { (name: $0.0, address: $0.1) }
    }

    /// Without a health check: nobody dies in these tests, and the balancer is sent nothing but
    /// what they send.
    var text: String {
        let lines =
            ["- name: \(name)", "  vip: \"\(vip)\"", "  forwarding: \(way.rawValue)"]
            + keys.map { "  \($0)" }
            + ["  backends:"]
            + backends.map { "    - { name: \($0.name), address: \"\($0.address)\" }" }
        return lines.map { "  \($0)\n" }.joined()
    }
}

extension Network {
    /// Starts `martlet run`, and waits until every backend of every service can be reached.
    ///
    /// - Parameter node: Keys of the node, besides those that the way needs and its services.
    func balance(_ services: ServiceText..., node: String = "") async throws {
        let text =
            (services.first?.way ?? .l2DSR).nodeSettings + "\n" + (node.isEmpty ? "" : node + "\n")
            + "services:\n"
            + services.map(\.text).joined()
        _ = try await runController(configuration: text)
        try await eventually("every backend can be reached") {
            let status: StatusRead = try await self["balancer"].decode(
                [try builtProduct("martlet"), "status", "--json"])
            return status.services.flatMap(\.backends).allSatisfy {
                $0.slots > 0 && $0.way.neighbour != nil
            }
        }
    }
}
