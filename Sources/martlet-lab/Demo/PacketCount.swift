import Foundation
import Lab

/// The packets for a VIP that `tcpdump` sees on an interface: a second opinion on what was sent.
struct PacketCount {
    private let program: RunningProgram

    /// Begins to count what is for the VIP on `interface` of `node`.
    static func begin(_ vip: String, on interface: String, of node: Node) async throws -> Self {
        let program = try await node.start([
            "tcpdump", "-i", interface, "--immediate-mode", "-B", "16384", "-Z", "root", "-w",
            "/dev/null", "tcp and dst host \(vip) and dst port 80",
        ])
        try await program.errors.first { $0.contains("listening on") }
        return PacketCount(program: program)
    }

    /// Ends the counting; how many packets there were.
    func end() async throws -> Int {
        program.kill(SIGINT)
        let output = await program.wait()
        let count = output.stderr.split(separator: "\n")
            .first { $0.hasSuffix("captured") }?.split(separator: " ").first
            .flatMap { Int($0) }
        guard let count else {
            throw Failure("count packets", because: "tcpdump gave none", details: output.stderr)
        }
        return count
    }
}
