import ArgumentParser
import Control
import FoundationEssentials
import Testing

@testable import martlet

struct DrainCommandTests {
    private static let now = Date(timeIntervalSince1970: 1_800_000_000)

    private func message(_ arguments: [String]) async -> String? {
        do {
            _ = try await DrainCommand.asyncParse(arguments)
            return nil
        } catch {
            return DrainCommand.message(for: error)
        }
    }

    @Test(
        arguments: [
            ("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86400), ("2027-01-15T08:00:01Z", 1),
        ] as [(String, Double)])
    func `a deadline is a time from now or a moment`(text: String, seconds: Double) async throws {
        let command = try await DrainCommand.asyncParse(["web/server-a", "--deadline", text])
        #expect(command.deadline?.moment(after: Self.now) == Self.now + seconds)
    }

    @Test(arguments: ["10", "10 m", "-5m", "1.5h", "10w", "tomorrow", "2027-01-15"])
    func `what is no deadline is refused with examples`(text: String) async throws {
        let said = try #require(await message(["web/server-a", "--deadline=\(text)"]))
        #expect(
            said.contains(
                "\"\(text)\" is no deadline: 30s, 10m, 2h, 1d or 2030-01-31T12:00:00Z"), "\(said)")
    }

    @Test func `a deadline of no time at all has passed`() async throws {
        let said = try #require(await message(["web/server-a", "--deadline", "0s"]))
        #expect(said.contains("the deadline 0s has passed: give one in the future"))
    }

    @Test(arguments: ["web", "web/", "/server-a", "web/server-a/1", ""])
    func `what names no backend is refused with an example`(text: String) async throws {
        let said = try #require(await message([text]))
        #expect(
            said.contains("\"\(text)\" is no backend: SERVICE/BACKEND, like web/server-a"),
            "\(said)")
    }

    @Test func `without options a drain waits for the last flow, in the background`()
        async throws
    {
        let command = try await DrainCommand.asyncParse(["web/server-a"])
        #expect(command.backend == BackendReference("web", "server-a"))
        #expect(command.deadline == nil)
        #expect(!command.wait && !command.force)
    }
}
