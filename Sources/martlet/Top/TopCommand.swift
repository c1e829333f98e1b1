import API
import ArgumentParser
import Control
import Dispatch
import Glibc

/// `martlet top`
struct TopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Watch services and backends on the whole screen.",
        discussion: """
            Rates of each service and backend with their course over the last minute, health, \
            drains, flows and shares; what became of all packets, and why some were dropped. \
            Bars are as high as their value: each row has a scale of its own.

            Keys: q quits, s sorts by something else, p stops the picture and lets it go on, \
            arrows, j, k, space and b scroll.

            Exit status: 0 ended by q or Ctrl-C, 1 no terminal or no controller, 64 wrong usage, \
            128 + n ended by signal n.
            """)

    @Option(help: ArgumentHelp("From one reading to the next.", valueName: "seconds"))
    var interval = 1.0
    @Option(help: "Colours: auto, which is unless NO_COLOR is set; always; never.")
    var color = ColorChoice.auto
    @OptionGroup var controller: ControllerOptions

    func validate() throws {
        guard (0.1...60).contains(interval) else {
            throw ValidationError("--interval takes seconds from 0.1 to 60")
        }
    }

    func run() async throws {
        guard let screen = Screen() else {
            printError(
                "cannot show a full screen: this is no terminal\n"
                    + "  martlet status --watch shows it line by line")
            throw ExitCode.refused
        }
        let model: TopModel
        do {
            let (status, counters) = try await read()
            model = TopModel(status, counters, interval: interval)
        } catch {
            throw refused(error)
        }
        screen.enter()
        let ending = await watch(model, on: screen)
        screen.leave()
        guard ending != SIGINT, ending != 0 else { return }
        throw ExitCode(128 + ending)
    }

    private func read() async throws -> (Status, CountersReport) {
        let client = controller.client
        return (try await client.status(), try await client.counters())
    }

    /// Shows it until somebody ends it; returns the signal that did, or 0.
    private func watch(_ model: TopModel, on screen: Screen) async -> Int32 {
        var model = model
        let (news, listener) = AsyncStream.makeStream(of: News.self)
        let terminal = TerminalNews(listener)
        let asking = Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(interval))
                do {
                    let (status, counters) = try await read()
                    listener.yield(.reading(status, counters))
                } catch {
                    listener.yield(.trouble("\(error)"))
                }
            }
        }
        defer {
            asking.cancel()
            terminal.end()
        }
        var picture = draw(&model, on: screen)
        for await item in news {
            switch item {
            case .reading(let status, let counters): model.take(status, counters)
            case .trouble(let reason): model.trouble = reason
            case .keys(let keys):
                if keys.contains(.quit) { return 0 }
                for key in keys { model.press(key, page: picture.page) }
            case .signal(SIGTSTP):
                screen.leave()
                // Returns when the shell has it go on.
                raise(SIGSTOP)
                screen.enter()
            case .signal(SIGCONT): screen.enter()
            case .signal(SIGWINCH): break
            case .signal(let number): return number
            }
            picture = draw(&model, on: screen)
        }
        return 0
    }

    private func draw(_ model: inout TopModel, on screen: Screen) -> TopScreen {
        let size = TerminalSize.ofStandardOutput() ?? TerminalSize(columns: 80, rows: 24)
        let paper = Paper.standardOutput(color)
        let picture = TopScreen(model, size, on: paper)
        model.offset = min(model.offset, picture.lastOffset)
        screen.draw(picture.lines.map { $0.rendered(isColoured: paper.isColoured) })
        return picture
    }
}

/// All that `martlet top` waits for, in one line.
private enum News: Sendable {
    case reading(Status, CountersReport)
    case trouble(String)
    case keys([TopKey])
    case signal(Int32)
}

/// What the terminal and those behind it have to say.
private final class TerminalNews {
    private let signals: [any DispatchSourceSignal]
    private let keyboard: any DispatchSourceRead

    init(_ listener: AsyncStream<News>.Continuation) {
        let queue = DispatchQueue(label: "martlet.top")
        let numbers = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH]
        signals = numbers.map { number in
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { listener.yield(.signal(number)) }
            source.resume()
            return source
        }
        keyboard = DispatchSource.makeReadSource(fileDescriptor: STDIN_FILENO, queue: queue)
        keyboard.setEventHandler {
            var bytes = [UInt8](repeating: 0, count: 64)
            let count = unsafe Glibc.read(STDIN_FILENO, &bytes, bytes.count)
            // A terminal that has gone reads as its end.
            guard count > 0 else { return listener.finish() }
            listener.yield(.keys(TopKey.keys(in: Array(bytes.prefix(count)))))
        }
        keyboard.resume()
    }

    func end() {
        signals.forEach { $0.cancel() }
        keyboard.cancel()
    }
}
