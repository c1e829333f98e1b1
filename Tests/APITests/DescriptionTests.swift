import Control
import Foundation
import HTTPTypes
import Logs
import Testing

@testable import API
@testable import Lab

/// `/openapi.json` says what the server does.
struct DescriptionTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    private static let schemathesis = root.appending(path: ".build-schemathesis/bin/schemathesis")
        .path()

    private static var isInstalled: Bool {
        FileManager.default.isExecutableFile(atPath: schemathesis)
    }

    @Test(
        .enabled(
            if: isInstalled,
            "schemathesis is not in .build-schemathesis: `make schemathesis` installs it"),
        .timeLimit(.minutes(5)))
    func `schemathesis finds no lie in the description`() async throws {
        let controller = FakeController(eventsEnd: true)
        try await withServer(controller) { served in
            let folder = Self.root.appending(path: "Tests/schemathesis").path()
            let child = try ChildProcess([
                "env", "MARTLET_SOCKET=\(served.socket.path)",
                "PYTHONDONTWRITEBYTECODE=1", "SCHEMATHESIS_HOOKS=socket_hooks",
                "PYTHONPATH=\(folder)", "HYPOTHESIS_STORAGE_DIRECTORY=\(served.directory)",
                Self.schemathesis, "--config-file", "\(folder)/schemathesis.toml", "run",
                "http://martlet/openapi.json", "--max-failures", "20", "--no-color",
                "--output-truncate", "false",
            ])
            let output = await child.finish()
            #expect(output.succeeded, "\(output.stdout)\(output.stderr)")
            if let path = ProcessInfo.processInfo.environment["MARTLET_SCHEMATHESIS_LOG"] {
                try output.stdout.write(toFile: path, atomically: false, encoding: .utf8)
            }
        }
        // It was not refused all along: every change was made at least once.
        let kinds = Set(controller.done.map { $0.prefix { !"/:0123456789".contains($0) } })
        for kind in [
            "drain ", "undrain ", "maintenance ", "no maintenance ", "service ", "no service ",
            "backend ", "no backend ", "applied ", "reloaded", "back to ",
        ] { #expect(kinds.contains { $0.hasPrefix(kind) }, "\(kind)") }
        #expect(controller.done.contains { $0.hasSuffix("weight of the file") })
    }

    @Test func `each operation has a name of its own, and each reference leads somewhere`() {
        let names = operationTable.map(\.name)
        #expect(Set(names).count == names.count)
        #expect(Set(operationTable.map { "\($0.method) \($0.path.text)" }).count == names.count)
        var found: Set<String> = []
        collect(openAPIDocument, &found)
        #expect(found.isSubset(of: Schema.named.keys))
        #expect(Set(Schema.named.keys).subtracting(found) == [])
    }

    @Test func `what is read needs no right, and what is changed an admin`() {
        for operation in operationTable {
            let isReading =
                operation.method == .get || ["plan", "planRollback"].contains(operation.name)
            #expect(operation.role == (isReading ? .reader : .admin), "\(operation.name)")
        }
    }

    @Test func `a line has nothing that a terminal obeys, nor what turns text`() {
        let line = Schema.line(1...16)
        for text in ["a", "it's \u{e9} \u{a0}", "→", "\u{1F600}", "\u{5d0}"] {
            #expect(line.errors(in: .text(text), at: "").isEmpty, "\(text)")
        }
        for range in unseenScalars {
            for bound in [range.lowerBound, range.upperBound].compactMap(Unicode.Scalar.init) {
                let text = "a\(bound)b"
                #expect(line.errors(in: .text(text), at: "").count == 1, "\(bound.value)")
            }
        }
    }

    /// The names that references of a description lead to.
    private func collect(_ json: JSON, _ names: inout Set<String>) {
        switch json {
        case .object(let members):
            if case .text(let reference) = members["$ref"], members.count <= 2 {
                names.insert(String(reference.dropFirst("#/components/schemas/".count)))
            }
            for member in members.values { collect(member, &names) }
        case .list(let elements): for element in elements { collect(element, &names) }
        default: break
        }
    }
}
