/// Makes one text at a time, however many ask for it.
///
/// Who comes while it is being made gets the same; and who comes shortly after. So nobody can keep
/// the controller busy by scraping: with as many backends as there may be a text takes a second.
public actor SharedScrape {
    private let lifetime: Duration
    private var last: (text: String, made: ContinuousClock.Instant)?
    private var making: Task<String, any Error>?

    /// - Parameter lifetime: For so long a text is given again.
    public init(lifetime: Duration = .seconds(1)) { self.lifetime = lifetime }

    /// The text; made by `make` unless there is one that will do.
    public func text(_ make: @escaping @Sendable () async throws -> String) async throws -> String {
        if let last, last.made.duration(to: .now) < lifetime { return last.text }
        if let making { return try await making.value }
        // Not cancelled with the one who asked first: others wait for it, too.
        let task = Task { try await make() }
        making = task
        defer { making = nil }
        let text = try await task.value
        last = (text, .now)
        return text
    }
}
