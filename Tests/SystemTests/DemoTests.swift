import Foundation
import Lab
import Testing

/// The demonstration checks all that it shows; here it is asked whether it still holds.
@Suite(.serialized, .enabled(if: geteuid() == 0, "making network namespaces takes root"))
struct DemoTests {
    @Test func `all that the demonstration shows is true`() async throws {
        let demo = try Demonstration()
        let text = try await demo.textToItsEnd()
        #expect(demo.process.terminationStatus == 0, "\(text)")
        #expect(text.contains("All of it was true."))
        #expect(text.split(separator: "\n").count { $0.hasPrefix("  ✓ ") } == 18)
    }

    @Test(arguments: [SIGINT, SIGTERM, SIGKILL])
    func `nothing runs on when the demonstration is interrupted`(signal: Int32) async throws {
        let demo = try Demonstration()
        try await demo.readUntil("server-b is killed")
        let family = demo.descendants()
        // Six nodes; in them three servers, four times tcpdump, a controller, and a client.
        #expect(family.count > 15)
        kill(demo.process.processIdentifier, signal)
        _ = try await demo.textToItsEnd()
        #expect(demo.process.terminationReason == .uncaughtSignal)
        for (number, birth) in family {
            try await eventually("process \(number) is gone", within: .seconds(30)) {
                processBirth(number) != birth
            }
        }
    }
}

/// `martlet-lab demo` as a shell would start it.
private struct Demonstration {
    let process = Process()
    private let output = Pipe()

    init() throws {
        process.executableURL = URL(filePath: try builtProduct("martlet-lab"))
        process.arguments = ["demo"]
        process.standardOutput = output
        try process.run()
    }

    /// Reads on until there is `text`, or the end.
    func readUntil(_ text: String) async throws {
        let source = output.fileHandleForReading
        let read = try await onAThread {
            var read = ""
            while !read.contains(text) {
                let more = source.availableData
                guard !more.isEmpty else { break }
                read += String(decoding: more, as: UTF8.self)
            }
            return read
        }
        #expect(read.contains(text))
    }

    /// What is left to read, once the process has ended.
    func textToItsEnd() async throws -> String {
        let (source, process) = (output.fileHandleForReading, process)
        return try await onAThread {
            let rest = try source.readToEnd() ?? Data()
            process.waitUntilExit()
            return String(decoding: rest, as: UTF8.self)
        }
    }

    /// Who was started by it, directly or not, and when each was born.
    func descendants() -> [Int32: String] {
        var family: [Int32: String] = [:]
        var parents = [process.processIdentifier]
        while let parent = parents.popLast() {
            for child in children(of: parent) {
                family[child] = processBirth(child)
                parents.append(child)
            }
        }
        return family
    }

    /// As the threads of the parent have them: a child belongs to the thread that started it.
    private func children(of parent: Int32) -> [Int32] {
        let tasks = "/proc/\(parent)/task"
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
        return threads.flatMap { thread in
            let list = try? String(
                contentsOfFile: "\(tasks)/\(thread)/children", encoding: .utf8)
            return (list ?? "").split(separator: " ").compactMap { Int32($0) }
        }
    }
}

/// Waits on a thread of its own for what blocks: all other tests share as many as there are cores.
private func onAThread<Result: Sendable>(
    _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result(catching: body)) }
    }
}
