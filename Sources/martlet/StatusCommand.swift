import API
import ArgumentParser
import Control

/// `martlet status`
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show services and backends: health, shares, traffic.",
        discussion: """
            Asks the running controller. Rates are those of the last second or two.

            Examples:
              martlet status --watch
              martlet status --json | jq '.services[].backends[] | select(.health.state=="down")'

            Exit status: 0 shown, 1 no controller answers, 64 wrong usage.
            """)

    @OptionGroup var show: ShowOptions
    @OptionGroup var controller: ControllerOptions

    func run() async throws {
        let client = controller.client
        do {
            try await show.show({ try await client.status() }, text: { text($0, on: $1) })
        } catch {
            throw refused(error)
        }
    }
}
