import Foundation
import Testing

/// The rules of the house that a program can check, over every source file of the tree.
struct TidyTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func sources() throws -> [URL] {
        try ["Sources", "Tests", "Plugins", "bpf"].flatMap { folder in
            let base = root.appending(path: folder)
            return try FileManager.default.subpathsOfDirectory(atPath: base.path)
                .filter { path in [".swift", ".c", ".h"].contains { path.hasSuffix($0) } }
                .map { base.appending(path: $0) }
        }
    }

    @Test func `no line is longer than 100 columns`() throws {
        let files = try Self.sources()
        #expect(files.count > 20)
        for file in files {
            let text = try String(contentsOf: file, encoding: .utf8)
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            for (number, line) in lines.enumerated() {
                let columns = line.reduce(0) { $1 == "\t" ? $0 / 8 * 8 + 8 : $0 + 1 }
                #expect(columns <= 100, "\(file.lastPathComponent):\(number + 1)")
            }
        }
    }

    @Test func `every file of the data path names its licence`() throws {
        for file in try Self.sources() where file.path.contains("/bpf/") {
            let text = try String(contentsOf: file, encoding: .utf8)
            #expect(
                text.contains("SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause"),
                "\(file.lastPathComponent)")
        }
    }
}
