/// Waits until `condition` holds, asking again and again.
///
/// - Parameter what: Completes "cannot see that …", should it not.
/// - Throws: ``Failure`` when it does not hold within `limit`, and whatever `condition` throws.
public func eventually(
    _ what: String, within limit: Duration = patience,
    isolation: isolated (any Actor)? = #isolation, _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < end else {
            throw Failure("see that \(what)", because: "it was not so within \(limit)")
        }
        try await Task.sleep(for: .milliseconds(10))
    }
}
