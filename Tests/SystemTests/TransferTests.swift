import Foundation
import Lab
import Testing

extension TrafficTests {
    /// Much at once, in both directions: what arrives is what was sent, to the last byte.
    @Suite(.enabled(if: geteuid() == 0, "namespaces and BPF programs need root"))
    struct TransferTests {
        @Test(arguments: Way.allCases, Family.allCases)
        func `100 MB come down and 20 MB go up whole`(way: Way, family: Family) async throws {
            try await withNetwork(way.topology) { network in
                _ = try await network.startServers(way, options: ["--uploads", "/run/upload"])
                try await network.balance(ServiceText("web", way, family, "port: 80"))

                let path = "/bytes/100000000"
                let (download, _) = try await network.keepingBooks {
                    try await network.download(path, from: family.target, to: "client")
                }
                let own = try await network.download(
                    path, from: "127.0.0.1:80", to: download.backend)
                #expect(download == own)
                #expect(download.bytes == 100_000_000)

                let (upload, rise) = try await network.keepingBooks {
                    try await network.upload(20_000_000, to: family.target)
                }
                #expect(upload.kept == upload.sent)
                #expect(upload.sent.bytes == 20_000_000)
                #expect(rise[way.verdict].bytes > 20_000_000)
            }
        }
    }
}
