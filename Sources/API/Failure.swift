import Glibc

/// Something that the API or its client could not do.
public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The `errno` of the call that failed; 0: it was none.
    public let code: Int32
    /// Whether the cause is that nobody serves there: no socket, or one that a process left.
    public var isAbsence: Bool { code == ENOENT || code == ECONNREFUSED }

    /// `cannot connect to …: No such file or directory (2)`, and below it the cure.
    public let description: String

    init(_ operation: String, _ object: String, because reason: String, cure: String?) {
        code = 0
        description = text(operation, object, reason, cure)
    }

    /// Several at once.
    init(all failures: [Failure]) {
        code = 0
        description = failures.map(\.description).joined(separator: "\n")
    }

    init(_ operation: String, _ object: String, code: Int32, cure: String?) {
        self.code = code
        let reason = unsafe "\(String(cString: strerror(code))) (\(code))"
        description = text(operation, object, reason, cure)
    }
}

private func text(
    _ operation: String, _ object: String, _ reason: String, _ cure: String?
) -> String {
    "cannot \(operation) \(object): \(reason)" + (cure.map { "\n  \($0)" } ?? "")
}
