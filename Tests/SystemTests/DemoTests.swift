import Foundation
import Lab
import Testing

/// The demonstration checks all that it shows; here it is asked whether it still holds.
@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"))
struct DemoTests {
    @Test func `all that the demonstration shows is true`() async throws {
        let process = Process()
        process.executableURL = URL(filePath: try builtProduct("martlet-lab"))
        process.arguments = ["demo"]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(
            decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(text)")
        #expect(text.contains("All of it was true."))
        #expect(text.split(separator: "\n").count { $0.hasPrefix("  ✓ ") } == 12)
    }
}
