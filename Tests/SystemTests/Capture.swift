import Foundation
import Lab

/// The frames for port 80 that `tcpdump` sees on an interface: an opinion that is not ours.
struct Capture {
    private let program: RunningProgram
    private let file: String

    /// Begins to record what `filter` lets through (pcap-filter(7)) on `interface` of `node`.
    static func begin(
        _ filter: String, on interface: String, of node: Node
    ) async throws -> Self {
        let file = "/run/capture.pcap"
        let program = try await node.start([
            "tcpdump", "-i", interface, "--immediate-mode", "-B", "16384", "-U", "-Z", "root",
            "-s", "64", "-w", file, "tcp and dst port 80 and \(filter)",
        ])
        try await program.errors.first { $0.contains("listening on") }
        return Capture(program: program, file: node.path(file))
    }

    /// Ends it when so many packets are recorded, or after a while; how much there was.
    ///
    /// tcpdump may be late; it never records what was not there.
    func end(at packets: UInt64) async throws -> Amount {
        try? await eventually("tcpdump has recorded \(packets) packets", within: .seconds(5)) {
            try recorded().packets >= packets
        }
        program.kill(SIGINT)
        _ = await program.wait()
        return try recorded()
    }

    private func recorded() throws -> Amount {
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: file)))
        // pcap-savefile(5): a header of 24 bytes; before each frame 16, the third word of which is
        // how much was kept of it, and the fourth how long it was.
        var amount = Amount()
        var at = 24
        while at + 16 <= bytes.count {
            amount.packets += 1
            amount.bytes += UInt64(word(bytes, at + 12))
            at += 16 + Int(word(bytes, at + 8))
        }
        return amount
    }

    private func word(_ bytes: [UInt8], _ at: Int) -> UInt32 {
        bytes[at..<at + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}
