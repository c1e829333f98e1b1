import API
import ArgumentParser
import Control
import FoundationEssentials
import Glibc

/// `martlet events`
struct EventsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Follow what happens: health, ways, drains, configurations.",
        discussion: """
            A line for each event, until Ctrl-C. When the controller ends it waits for the next \
            one. JSON is one line for each event.

            Examples:
              martlet events --service web
              martlet events --after 0 --json | jq -r 'select(.kind == "health") | .text'

            Exit status: 0 ended by Ctrl-C or by its reader, 1 no controller answers at first, 64 \
            wrong usage.
            """)

    @Option(help: "Of this service alone.", completion: .services)
    var service: String?
    @Option(
        help: ArgumentHelp(
            "First those after this one that are still known; 0: all of them.",
            valueName: "id"))
    var after: UInt64?
    @OptionGroup var output: OutputOptions
    @OptionGroup var controller: ControllerOptions

    func run() async throws {
        // Ctrl-C is how following ends well.
        signal(SIGINT) { _ in _exit(0) }
        do {
            try await follow(after: after)
        } catch {
            throw refused(error)
        }
    }

    private func follow(after id: UInt64?) async throws {
        let client = controller.client
        // Whoever can be asked can be followed; and who can't be is told why.
        _ = try await client.configuration()
        var (id, isLost) = (id, false)
        let beginning = EventLog.number(before: .now)
        while true {
            do {
                for try await event in client.events(after: id) {
                    isLost = false
                    // The next controller goes on with greater numbers.
                    id = event.id
                    guard service == nil || event.service == service else { continue }
                    guard tell(event) else { return }
                }
            } catch let refusal as Client.Refused {
                throw refusal
            } catch {
                if !isLost { printError("\(error)\n  waiting for the next one") }
                isLost = true
            }
            // Whoever has heard nothing yet hears all that the next controller has to tell.
            id = id ?? beginning
            try await Task.sleep(for: .seconds(1))
        }
    }

    private func tell(_ event: Event) -> Bool {
        let line =
            output.json
            ? try? jsonText(event, isLine: true) : text(event, on: output.paper)
        return printWhole((line ?? "") + "\n")
    }
}
