import Foundation
import Lab
import Testing

extension TrafficTests {
    /// Services that are more than one address with one port, and whom they serve.
    @Suite(.enabled(if: geteuid() == 0, "namespaces and BPF programs need root"))
    struct RangesTests {
        private static let ports = [
            "--port", "80", "--port", "8000", "--port", "8001", "--port", "8002",
        ]

        @Test(arguments: Family.allCases)
        func `every port of a list is the service's, and its neighbours are the kernel's`(
            family: Family
        ) async throws {
            try await withNetwork(.oneSegment()) { network in
                _ = try await network.startServers(.l2DSR, options: Self.ports)
                try await network.balance(
                    ServiceText("web", .l2DSR, family, "ports: [80, 8000-8002]"))
                let (answers, rise) = try await network.keepingBooks {
                    let listed = try await network.ask(family.rawValue, 80, 8000, 8001, 8002)
                    return (listed, try await network.ask(family.rawValue, 79, 81, 7999, 8003))
                }
                #expect(answers.0.arePages, "\(answers.0)")
                #expect(answers.1 == [.refused, .refused, .refused, .refused])
                // What is sent to a port that nobody has is one packet.
                #expect(rise["PASS_VIP_PORT"].packets == 4)
                #expect(rise["FORWARD_L2_DSR"].packets > 0)
            }
        }

        @Test(arguments: Family.allCases)
        func `any port is what no other service of the VIP has`(family: Family) async throws {
            try await withNetwork(.oneSegment()) { network in
                _ = try await network.startServers(.l2DSR, options: Self.ports)
                try await network.balance(
                    ServiceText("one", .l2DSR, family, only: ["server-b"], "port: 8001"),
                    ServiceText("others", .l2DSR, family, only: ["server-a"], "port: any"))
                let (answers, rise) = try await network.keepingBooks {
                    try await network.ask(family.rawValue, 80, 8000, 8001, 8002, 8003)
                }
                // At 8003 nobody listens, and it is the backend that says so.
                #expect(
                    answers == [
                        Answer("server-a"), Answer("server-a"), Answer("server-b"),
                        Answer("server-a"),
                        .refused,
                    ])
                #expect(rise["PASS_VIP_PORT"].packets == 0)
                #expect(rise["FORWARD_L2_DSR"].packets > 0)
            }
        }

        @Test(arguments: Block.allCases)
        func `every address of a prefix is served, on the service's port alone`(
            block: Block
        ) async throws {
            try await withNetwork(.oneSegment()) { network in
                _ = try await network.startServers(.l2DSR, options: Self.ports)
                try await network.take(block)
                try await network.balance(
                    ServiceText("web", .l2DSR, block.family, vip: block.prefix, "port: 80"),
                    node: "vips: [{ address: \"\(block.prefix)\", other-ports: drop }]")
                let (answers, inside) = try await network.keepingBooks {
                    var answers: [Answer] = []
                    for address in block.inside { answers += try await network.ask(address, 80) }
                    return answers
                }
                #expect(answers.arePages, "\(answers)")
                #expect(inside["FORWARD_L2_DSR"].packets > 0)
                #expect(inside["DROP_VIP_PORT"].packets == 0)
                let (nobody, others) = try await network.keepingBooks {
                    let port = try await network.ask(block.inside[5], 8000, within: 0.5)
                    return port + (try await network.ask(block.after, 80, within: 0.5))
                }
                #expect(nobody == [.silence, .silence])
                #expect(others["DROP_VIP_PORT"].packets > 0)
                #expect(others["PASS_NO_SERVICE"].packets > 0)
                #expect(others["FORWARD_L2_DSR"].packets == 0)
            }
        }

        @Test(arguments: Family.allCases)
        func `who is denied gets no answer, and the neighbour does`(family: Family) async throws {
            let (denied, allowed) =
                family == .v4 ? ("192.168.1.12", "192.168.1.13") : ("fd00:1::12", "fd00:1::14")
            let prefix = family == .v4 ? "192.168.1.12/32" : "fd00:1::12/127"
            try await withNetwork(.oneSegment()) { network in
                _ = try await network.startServers(.l2DSR)
                for address in [denied, allowed] {
                    try await network["client"].run(
                        ["ip", "address", "add", address, "dev", "eth0", "nodad"])
                }
                try await network.balance(
                    ServiceText(
                        "web", .l2DSR, family, "port: 80", "access: { deny: [\"\(prefix)\"] }"))
                let (answers, rise) = try await network.keepingBooks {
                    let denial = try await network.ask(
                        family.rawValue, 80, from: denied, within: 0.5)
                    return denial + (try await network.ask(family.rawValue, 80, from: allowed))
                }
                #expect(answers.first == .silence)
                #expect(answers.last?.isPage == true, "\(answers)")
                #expect(rise["DROP_SOURCE_DENIED"].packets > 0)
                #expect(rise["FORWARD_L2_DSR"].packets > 0)
            }
        }
    }
}

/// A prefix of which each address is a VIP.
enum Block: String, CaseIterable {
    case v4 = "203.0.113.0/28"
    case v6 = "2001:db8:113::/124"

    var prefix: String { rawValue }
    var family: Family { self == .v4 ? .v4 : .v6 }

    /// All its addresses, the first and the last too.
    var inside: [String] { (0..<16).map(address) }

    /// The address that follows its last.
    var after: String { address(16) }

    /// What the client sends to the balancer: more than the prefix.
    var wider: String { self == .v4 ? "203.0.113.0/27" : "2001:db8:113::/123" }

    private func address(_ number: Int) -> String {
        self == .v4 ? "203.0.113.\(number)" : "2001:db8:113::\(String(number, radix: 16))"
    }
}

/// What a client has of one request.
struct Answer: Hashable {
    /// The page, which is the name of the server, or curl's reason why there is none.
    let text: String

    init(_ text: String) { self.text = text }

    /// Reads how curl ended: curl(1), "EXIT CODES".
    init(_ output: Output) {
        switch output.status {
        case .exited(0): self.init(output.stdout)
        case .exited(7): self = .refused
        case .exited(28): self = .silence
        default: self.init(output.stderr)
        }
    }

    static let refused = Answer("refused")
    static let silence = Answer("silence")

    var isPage: Bool { servers.contains(text) }
}

extension [Answer] {
    /// Whether every request was answered by a server.
    fileprivate var arePages: Bool { allSatisfy(\.isPage) }
}

extension Network {
    /// Sends what is for `block` to the balancer, and has every server take it.
    fileprivate func take(_ block: Block) async throws {
        let balancer = block.family == .v4 ? "192.168.1.1" : "fd00:1::1"
        try await self["client"].run(["ip", "route", "add", block.wider, "via", balancer])
        for server in servers {
            try await self[server].run(["ip", "route", "add", "local", block.prefix, "dev", "lo"])
        }
    }

    /// Asks for a page of each port in turn, from an address of the client.
    ///
    /// - Parameter limit: How many seconds to wait for an answer; few where none is expected.
    fileprivate func ask(
        _ address: String, _ ports: Int..., from source: String? = nil, within limit: Double = 20
    ) async throws -> [Answer] {
        let host = address.contains(":") ? "[\(address)]" : address
        var answers: [Answer] = []
        for port in ports {
            let output = try await self["client"].attempt(
                ["curl", "-gsS", "--fail", "--max-time", "\(limit)", "http://\(host):\(port)/"]
                    + (source.map { ["--interface", $0] } ?? []), within: .seconds(30))
            answers.append(Answer(output))
        }
        return answers
    }
}
