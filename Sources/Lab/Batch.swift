/// A shell command that has `ip` carry out all `commands` in one go, up to the first it refuses.
func batched(_ commands: [String]) -> String {
    "ip -batch - <<'END'\n" + commands.joined(separator: "\n") + "\nEND"
}

/// Runs `body` for all `elements` at once, and gathers what comes out by its name.
func together<Element: Sendable, Value: Sendable>(
    _ elements: [Element],
    _ body: @escaping @Sendable (Element) async throws -> (name: String, value: Value)
) async throws -> [String: Value] {
    try await withThrowingTaskGroup(of: (name: String, value: Value).self) { group in
        for element in elements { group.addTask { try await body(element) } }
        return try await group.reduce(into: [:]) { $0[$1.name] = $1.value }
    }
}
