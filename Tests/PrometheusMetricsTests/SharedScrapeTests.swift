import Synchronization
import Testing

@testable import Scraping

struct SharedScrapeTests {
    private struct Trouble: Error {}

    /// Counts what was made, and lets it be made when it is told to.
    private final class Maker: Sendable {
        let begun = Mutex(0)
        let isOpen = Mutex(false)

        func make() async throws -> String {
            let number = begun.withLock {
                $0 += 1
                return $0
            }
            while !isOpen.withLock(\.self) { await Task.yield() }
            return "text \(number)"
        }
    }

    @Test func `a thousand who come at once get one text`() async throws {
        let maker = Maker()
        let scrape = SharedScrape(lifetime: .seconds(3600))
        let texts = try await withThrowingTaskGroup(of: String.self) { tasks in
            for _ in 0..<1000 { tasks.addTask { try await scrape.text { try await maker.make() } } }
            while maker.begun.withLock(\.self) == 0 { await Task.yield() }
            maker.isOpen.withLock { $0 = true }
            return try await tasks.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(texts == ["text 1"])
    }

    @Test func `one who comes later gets another`() async throws {
        let maker = Maker()
        maker.isOpen.withLock { $0 = true }
        let scrape = SharedScrape(lifetime: .zero)
        for number in 1...3 {
            #expect(try await scrape.text { try await maker.make() } == "text \(number)")
        }
    }

    @Test func `what could not be made is tried again`() async throws {
        let scrape = SharedScrape(lifetime: .seconds(3600))
        await #expect(throws: Trouble.self) { _ = try await scrape.text { throw Trouble() } }
        #expect(try await scrape.text { "well" } == "well")
    }
}
