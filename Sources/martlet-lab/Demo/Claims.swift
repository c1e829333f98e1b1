/// What the demonstration says is true, and whether it is.
struct Claims: Hashable, Sendable {
    private(set) var broken: [String] = []

    /// Takes note of a claim; returns the line that shows it.
    mutating func check(_ claim: String, _ holds: Bool) -> String {
        if !holds { broken.append(claim) }
        return holds ? "  ✓ \(claim)" : "  ✗ NOT TRUE: \(claim)"
    }
}
