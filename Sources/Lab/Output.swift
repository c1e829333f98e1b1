/// What is left of a program that has ended.
public struct Output: Hashable, Sendable {
    /// How it ended.
    public let status: ExitStatus
    /// All it wrote to its standard output.
    public let stdout: String
    /// All it wrote to its standard error.
    public let stderr: String

    /// Whether it ended by itself with status 0.
    public var succeeded: Bool { status == .exited(0) }
}
