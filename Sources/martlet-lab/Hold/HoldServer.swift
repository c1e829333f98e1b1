import ArgumentParser
import Foundation
import NIOCore

/// `martlet-lab hold-server`: a backend of connections that live long.
struct HoldServer: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer the records of `martlet-lab hold` with a name, on all addresses.",
        discussion: """
            Over TCP and UDP; a record is 16 bytes, and its answer the name, a line feed and the
            record. Another port has GET /healthz of `martlet-lab serve`.

            Takes commands as lines of standard input, and prints each when it is carried out:
              well        health is 200 OK
              sick        health is 503
              silent      health takes requests and answers none
              closed      nobody listens for health, until one of the above
              delay N     records and health are answered N milliseconds later than they could be;
                          datagrams are not
              count       prints {"accepted":…,"open":…}: connections that came and that are there

            Prints `ready` once it listens, and ends with its input.
            """)

    @Option(help: "What it answers with.")
    var name: String

    @Option(help: "The TCP and UDP port to listen on.")
    var port: UInt16 = 80

    @Option(help: "The TCP port to answer for its health on.")
    var healthPort: UInt16 = 8080

    func validate() throws {
        if name.isEmpty || name.contains(where: \.isNewline) {
            throw ValidationError("a name is one line, and not empty")
        }
    }

    func run() async throws {
        raiseFileLimit()
        let records = try RecordServer(name: name, port: port)
        try records.start()
        try EchoServer(name: name, port: port).start()
        let backend = Backend(name: name)
        try await withThrowingDiscardingTaskGroup { group in
            var listener: NIOAsyncChannel<Client, Never>?
            func open() async throws {
                guard listener == nil else { return }
                let opened = try await listen(on: healthPort)
                group.addTask { try await answer(clientsOf: opened, as: backend) }
                listener = opened
            }
            try await open()
            printLine("ready")
            for await line in standardInput() {
                let words = line.split(separator: " ").map(String.init)
                switch words.first {
                case "delay":
                    let delay = Duration.milliseconds(words.last.flatMap(Int.init) ?? 0)
                    records.delay = delay
                    backend.setHealth(delay: delay)
                case "closed":
                    try await listener?.channel.close()
                    listener = nil
                case "count":
                    let counts = records.counts
                    printLine(#"{"accepted":\#(counts.accepted),"open":\#(counts.open)}"#)
                    continue
                case let word?:
                    guard let condition = Backend.Condition(rawValue: word) else {
                        printLine("no such command: \(line)")
                        continue
                    }
                    backend.setHealth(condition)
                    try await open()
                case nil: continue
                }
                printLine(line)
            }
            throw ExitCode.success
        }
    }
}

/// The lines of standard input as they come, read by a thread of their own.
func standardInput() -> AsyncStream<String> {
    let (lines, reader) = AsyncStream.makeStream(of: String.self)
    Thread.detachNewThread {
        while let line = readLine() { reader.yield(line) }
        reader.finish()
    }
    return lines
}
