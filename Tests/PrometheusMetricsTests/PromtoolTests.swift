import Foundation
import Testing

@testable import PrometheusMetrics

/// What Prometheus's own tool says of the text.
struct PromtoolTests {
    private static let fetched = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: ".build-tools/promtool").path
    private static let promtool = ["/usr/bin/promtool", fetched].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    @Test(.enabled(if: promtool != nil, "`make packages` fetches promtool"))
    func `promtool finds nothing to complain of, and would`() throws {
        let (status, said) = try check(prometheusText(example()))
        #expect(status == 0)
        #expect(said == "")
        // The same with one fault: so it has looked.
        let spoiled = prometheusText(example()).replacing("_refused_total", with: "_refused")
        #expect(try check(spoiled).said.contains("_total"))
    }

    private func check(_ text: String) throws -> (status: Int32, said: String) {
        let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: file) }
        try text.write(to: file, atomically: false, encoding: .utf8)
        let (process, output) = (Process(), Pipe())
        process.executableURL = URL(filePath: try #require(Self.promtool))
        process.arguments = ["check", "metrics"]
        process.standardInput = try FileHandle(forReadingFrom: file)
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let said = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: said, as: UTF8.self))
    }
}
