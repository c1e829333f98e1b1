import ArgumentParser
import Foundation

/// `martlet-lab request`: a client.
struct Request: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask a server for a page, again and again, each time on a new connection.",
        discussion: """
            Prints a line of JSON for each request when it is over, such as
              {"backend":"server-a","milliseconds":0.8,"n":1}
              {"failure":"connection refused","milliseconds":0.2,"n":2}
            and ends with status 0 if none has failed.
            """)

    @Option(help: "Where the server is: 192.168.1.100:80 or [fd00:1::100]:80.")
    var to: Target

    @Option(help: "The page to ask for.")
    var path = "/"

    @Option(help: "How many requests; 1 unless something else says when to stop.")
    var count: Int?

    @Option(help: "How many may be under way at once.")
    var concurrency = 1

    @Option(help: "How many to start in a second at most.")
    var rate: Double?

    @Option(help: "Start none after so many seconds.")
    var seconds: Double?

    @Flag(help: "Start none after the end of standard input.")
    var untilInputEnds = false

    @Option(help: "How many seconds a request may take.")
    var timeout = 2.0

    func validate() throws {
        let numbers: [(String, Double?)] = [
            ("--count", count.map(Double.init)), ("--concurrency", Double(concurrency)),
            ("--rate", rate), ("--seconds", seconds), ("--timeout", timeout),
        ]
        for (option, number) in numbers where number.map({ $0 <= 0 }) ?? false {
            throw ValidationError("\(option) takes a number above 0")
        }
    }

    func run() async throws {
        let endless = seconds != nil || untilInputEnds
        let pace = Pace(
            limit: count ?? (endless ? nil : 1), rate: rate, length: seconds.map { .seconds($0) })
        if untilInputEnds {
            Thread.detachNewThread {
                while readLine() != nil {}
                pace.stop()
            }
        }
        let failures = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<concurrency { group.addTask { try await work(pace) } }
            return try await group.reduce(0, +)
        }
        if failures > 0 { throw ExitCode(1) }
    }

    /// Takes turns until there are none; returns how many requests failed.
    private func work(_ pace: Pace) async throws -> Int {
        var failures = 0
        while let turn = pace.next() {
            try await Task.sleep(until: turn.start)
            let visit = await Visit(
                number: turn.number, to: to, path: path, timeout: .seconds(timeout))
            printLine(try visit.json())
            if visit.failure != nil { failures += 1 }
        }
        return failures
    }
}
