import Glibc

/// Something that the lab could not do.
public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
    /// What could not be done and why; on indented lines below it, what helps to understand it.
    public let description: String

    /// A failure that reads `cannot <operation>: <reason>`, with `details` indented below.
    public init(_ operation: String, because reason: String, details: String = "") {
        let below = details.split(separator: "\n").map { "\n  \($0)" }.joined()
        description = "cannot \(operation): \(reason)\(below)"
    }

    /// A failure of a call to the system; `code` is its `errno`.
    init(_ operation: String, code: Int32, cure: String = "") {
        self.init(operation, because: "\(String(cString: strerror(code))) (\(code))", details: cure)
    }
}
