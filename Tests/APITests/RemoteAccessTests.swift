import Control
import Foundation
import Synchronization
import Testing

@testable import API
@testable import Lab

/// The API over TCP, asked by `curl` with certificates that `openssl` makes.
struct RemoteAccessTests {
    @Test func `a certificate says who may do what, and without one nobody may anything`()
        async throws
    {
        try await withDirectory { directory in
            try await makeCertificates(in: directory)
            let controller = FakeController()
            let port = Mutex<Int?>(nil)
            var remote = try access(directory)
            remote.whenServing = { number in port.withLock { $0 = number } }
            try await withServer(controller, remote: remote) { served in
                while port.withLock(\.self) == nil { await Task.yield() }
                let server = "https://127.0.0.1:\(port.withLock(\.self) ?? 0)"
                func ask(_ name: String?, _ path: String, _ more: String...) async throws -> String
                {
                    let identity = name.map {
                        ["--cert", "\(directory)/\($0).pem", "--key", "\(directory)/\($0).key"]
                    }
                    return try await run(
                        [
                            "curl", "-sS", "-m", "30", "--noproxy", "*", "--cacert",
                            "\(directory)/ca.pem", "-o", "/dev/null", "-w", "%{http_code}",
                        ]
                            + (identity ?? []) + more + [server + path]
                    ).stdout
                }
                #expect(try await ask("alice", "/v1/status") == "200")
                #expect(try await ask("bob", "/v1/status") == "200")
                #expect(try await ask("alice", "/v1/reload", "-X", "POST") == "200")
                #expect(try await ask("carol", "/v1/reload", "-X", "POST") == "200")
                #expect(try await ask("bob", "/v1/reload", "-X", "POST") == "403")
                #expect(
                    try await ask(
                        "bob", "/v1/plan", "-H", "Content-Type: application/yaml",
                        "--data-binary", FakeController.file) == "200")
                #expect(try await ask("mallory", "/v1/status") == "000")
                #expect(try await ask(nil, "/v1/status") == "000")
                #expect(try await ask("alice", "/v1/status", "--tls-max", "1.1") == "000")
                #expect(try await ask("alice", "/v1/status", "--tls-max", "1.2") == "200")
                let plain = server.replacing("https", with: "http")
                let answer = try await run(
                    [
                        "curl", "-sS", "-m", "30", "--noproxy", "*", "-o", "/dev/null", "-w",
                        "%{http_code}", plain + "/v1/status",
                    ])
                #expect(answer.stdout == "000")
                let lines = try served.audit()
                #expect(
                    lines.map { $0["by"] } == [
                        "CN=alice (127.0.0.1)", "CN=carol.example (127.0.0.1)",
                        "CN=bob (127.0.0.1)",
                    ])
                #expect(lines.map { $0["role"] } == ["admin", "admin", "reader"])
                #expect(lines.map { $0["outcome"] } == ["done", "done", "refused"])
            }
            #expect(controller.done == ["reloaded", "reloaded"])
        }
    }

    @Test func `all that is wrong with its files is told at once`() async throws {
        try await withDirectory { directory in
            try await makeCertificates(in: directory)
            let failure = #expect(throws: API.Failure.self) {
                try RemoteAccess(
                    listeningAt: "localhost:7443", certificate: directory + "/server.key",
                    key: directory + "/none.key", authorities: [directory], admins: [])
            }
            #expect(
                failure?.description == """
                    cannot listen at localhost:7443: it is no address with a port
                      write it like 192.0.2.1:7443 or [2001:db8::1]:7443
                    cannot read certificates of \(directory)/server.key: there are none in PEM
                      give a file with lines like -----BEGIN CERTIFICATE-----
                    cannot open \(directory)/none.key: No such file or directory (2)
                      give the path of a file that exists
                    cannot read certificates of \(directory): there are none in PEM
                      give a file with lines like -----BEGIN CERTIFICATE-----
                    """)
            let mismatch = #expect(throws: API.Failure.self) {
                try RemoteAccess(
                    listeningAt: "[::1]:7443", certificate: directory + "/server.pem",
                    key: directory + "/alice.key", authorities: [directory + "/ca.pem"], admins: [])
            }
            #expect(mismatch?.description.contains("it is not the key of") == true)
            let nobody = #expect(throws: API.Failure.self) {
                try RemoteAccess(
                    listeningAt: "[::1]:7443", certificate: directory + "/server.pem",
                    key: directory + "/server.key", authorities: [], admins: [])
            }
            #expect(nobody?.description.contains("`--tls-client-ca`") == true)
        }
    }

    private func access(_ directory: String) throws -> RemoteAccess {
        try RemoteAccess(
            listeningAt: "127.0.0.1:0", certificate: directory + "/server.pem",
            key: directory + "/server.key", authorities: [directory + "/ca.pem"],
            admins: ["alice", "carol@example.org"])
    }

    /// An authority that has signed for a server, `alice`, `bob` and `carol`; and one that nobody
    /// knows, which has signed for `mallory`, whom it calls alice.
    private func makeCertificates(in directory: String) async throws {
        let script = """
            set -e; cd \(directory)
            authority() {
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
                    -subj "/CN=$2" -keyout $1.key -out $1.pem
            }
            sign() {
                openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$3" \
                    -keyout $2.key -out $2.csr
                printf '%s\\n' "$4" > $2.ext
                openssl x509 -req -in $2.csr -CA $1.pem -CAkey $1.key -CAcreateserial -days 2 \
                    -extfile $2.ext -out $2.pem
            }
            authority ca 'the authority'; authority other 'the authority'
            sign ca server /CN=server subjectAltName=IP:127.0.0.1
            sign ca alice '/O=staff/CN=alice' extendedKeyUsage=clientAuth
            sign ca bob '/CN=bob' 'subjectAltName=DNS:bob.example'
            sign ca carol '/CN=carol.example' 'subjectAltName=email:carol@example.org'
            sign other mallory '/CN=alice' extendedKeyUsage=clientAuth
            """
        let output = try await run(["sh", "-c", script])
        try #require(output.succeeded, "\(output.stderr)")
    }

    private func run(_ arguments: [String]) async throws -> Output {
        try await ChildProcess(arguments).finish()
    }
}
