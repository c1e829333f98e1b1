import ArgumentParser
import Glibc

/// How a command shows what it was told, once or again and again.
struct ShowOptions: ParsableArguments {
    @OptionGroup var output: OutputOptions
    @Flag(help: "Show it again and again, until Ctrl-C; JSON as one line each time.")
    var watch = false
    @Option(
        help: ArgumentHelp(
            "With --watch: seconds from one time to the next.", valueName: "seconds"))
    var interval = 1.0

    func validate() throws {
        guard (0.1...3600).contains(interval) else {
            throw ValidationError("--interval takes seconds from 0.1 to 3600")
        }
    }

    /// Shows what `ask` returns, once or again and again.
    ///
    /// A terminal shows the newest only; into a file or a pipe they go one after the other, until
    /// nobody reads any more.
    func show<Value: Encodable & Sendable>(
        _ ask: () async throws -> Value, text: (Value, Paper) -> String
    ) async throws {
        let json = output.json
        let isTerminal = watch && !json && isatty(STDOUT_FILENO) == 1
        // Ctrl-C is how watching ends well.
        if watch { signal(SIGINT) { _ in _exit(0) } }
        repeat {
            let value = try await ask()
            let shown =
                json ? try jsonText(value, isLine: watch) : text(value, output.paper)
            let end = watch && !json && !isTerminal ? "\n\n" : "\n"
            guard printWhole((isTerminal ? homeAndClear : "") + shown + end) else { return }
            if watch { try await Task.sleep(for: .seconds(interval)) }
        } while watch
    }
}

/// ECMA-48: the cursor to the upper left corner (CUP), everything behind it erased (ED).
private let homeAndClear = "\u{1B}[H\u{1B}[J"
