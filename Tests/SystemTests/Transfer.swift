import Foundation
import Lab

/// What came through whole, by the opinion of curl and sha256sum, which are not ours.
struct Transfer: Hashable {
    /// Who was at the other end.
    let backend: String
    let bytes: Int
    let digest: String
}

extension Network {
    /// Fetches `path` from a server, with the digest of what came to `host`.
    func download(_ path: String, from target: String, to host: String) async throws -> Transfer {
        let script = """
            curl -gsS --fail -D /run/head -w '%{stderr}%{size_download}' "$0" | sha256sum
            """
        let output = try await self[host].run(
            ["sh", "-ec", script, "http://\(target)\(path)"], within: .seconds(60))
        return Transfer(
            backend: try backend(in: "/run/head", of: host), bytes: Int(output.stderr) ?? 0,
            digest: digest(in: output.stdout))
    }

    /// Sends so many random bytes from the client, with the digest of what the backend kept.
    ///
    /// - Returns: What was sent and what was received.
    func upload(
        _ bytes: Int, to target: String
    ) async throws -> (sent: Transfer, kept: Transfer) {
        // Without "Expect", or curl waits a second for leave to send.
        let script = """
            head -c "$1" /dev/urandom > /run/upload
            curl -gsS --fail -D /run/head -H Expect: -T /run/upload -o /run/answer "$0"
            """
        try await self["client"].run(
            ["sh", "-ec", script, "http://\(target)/upload", "\(bytes)"], within: .seconds(60))
        let backend = try backend(in: "/run/head", of: "client")
        let sent = try await file("/run/upload", of: "client", backend: backend)
        return (sent, try await file("/run/upload", of: backend, backend: backend))
    }

    private func file(
        _ path: String, of host: String, backend: String
    ) async throws -> Transfer {
        let output = try await self[host].run(
            ["sh", "-ec", "sha256sum \(path); stat -c %s \(path)"])
        let lines = output.stdout.split(separator: "\n")
        return Transfer(
            backend: backend, bytes: lines.last.flatMap { Int($0) } ?? 0,
            digest: digest(in: output.stdout))
    }

    /// Who answered, by a file with the head of the answer.
    private func backend(in file: String, of host: String) throws -> String {
        let head = try String(contentsOfFile: self[host].path(file), encoding: .utf8)
        let field = head.split(whereSeparator: \.isNewline)
            .first { $0.lowercased().hasPrefix("x-backend: ") }
        return field.map { String($0.dropFirst("x-backend: ".count)) } ?? "nobody"
    }
}

/// The first word of a line of sha256sum.
private func digest(in text: String) -> String {
    String(text.prefix { $0 != " " })
}
