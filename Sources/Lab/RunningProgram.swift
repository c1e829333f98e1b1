import Glibc

/// A program inside a node, which ends with its node at the latest.
public final class RunningProgram: Sendable {
    /// The program's name and its arguments.
    public let arguments: [String]
    /// What it writes to its standard output.
    public var output: Lines { process.output }
    /// What it writes to its standard error.
    public var errors: Lines { process.errors }

    /// `nsenter`, whose only child is the program: it passes on how that one ends.
    private let process: ChildProcess
    /// Lives as long as somebody may still ask for the program.
    private let node: Node

    init(_ arguments: [String], in node: Node) async throws(Failure) {
        self.arguments = arguments
        self.node = node
        process = try ChildProcess(node.entering + arguments)
        // From now on a signal finds the program and not nsenter on its way.
        while process.child == nil, !process.hasEnded {
            // In a task of its own, so that it sleeps even if this one is cancelled.
            await Task { try? await Task.sleep(for: .milliseconds(1)) }.value
        }
    }

    /// Whether the program has ended.
    public var hasEnded: Bool { process.hasEnded }

    /// The program's number outside of the node; nil when it has ended.
    public var identifier: Int32? { process.child }

    /// Sends a signal to the program; to one that has ended, nothing.
    public func kill(_ signal: Int32) {
        guard let program = process.child else { return }
        Glibc.kill(program, signal)
        // nsenter stops when its child does, and has to be woken to see what becomes of it.
        if signal == SIGKILL || signal == SIGCONT { process.signal(SIGCONT) }
    }

    /// Lets the program read this line; not for more than a few of them at once.
    public func write(line: String) throws(Failure) { try process.write(line: line) }

    /// Lets the program read the end of its standard input, which is open until then.
    public func closeInput() { process.closeInput() }

    /// Waits until the program has ended and all it wrote is there.
    @discardableResult
    public func wait() async -> Output { await process.finish() }

    /// As ``wait()``; when time is up, or the waiting task is cancelled, the program is killed
    /// with all that it has started.
    public func wait(within limit: Duration) async throws(Failure) -> Output {
        let alarm = Task {
            guard (try? await Task.sleep(for: limit)) != nil else { return false }
            await killAll()
            return true
        }
        let output = await withTaskCancellationHandler {
            await process.finish()
        } onCancel: {
            Task { await killAll() }
        }
        alarm.cancel()
        if await alarm.value { throw failure(because: "it did not end within \(limit)", output) }
        if Task.isCancelled { throw failure(because: "cancelled", output) }
        return output
    }

    /// Kills the program, then what it has started: nsenter lives on to bury the program.
    private func killAll() async {
        kill(SIGKILL)
        _ = await process.end()
        process.killGroup()
    }

    /// A failure of this program, with what it wrote to its standard error.
    func failure(because reason: String, _ output: Output) -> Failure {
        Failure(
            "run \(commandLine(arguments)) in node \(node.name)", because: reason,
            details: output.stderr)
    }
}

/// The command as a shell would take it.
private func commandLine(_ arguments: [String]) -> String {
    arguments.map { argument in
        let plain = argument.allSatisfy {
            $0.isLetter || $0.isNumber || "-_./:=,@%+[]".contains($0)
        }
        return plain && !argument.isEmpty ? argument : "'\(argument)'"
    }.joined(separator: " ")
}
