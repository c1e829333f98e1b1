import Glibc

/// A request that the kernel refused, or an answer that can't be read.
public struct Failure: Error, Sendable, CustomStringConvertible {
    /// What was asked for, as it reads after "cannot": `list links`.
    public let operation: String
    /// The kernel's `errno`; 0 if it was not the kernel that refused.
    public let code: Int32
    /// Why, in words.
    public let reason: String

    init(_ operation: String, code: Int32) {
        self.operation = operation
        self.code = code
        reason = String(cString: strerror(code))
    }

    init(_ operation: String, because reason: String) {
        self.operation = operation
        self.code = 0
        self.reason = reason
    }

    /// `cannot list links: Operation not permitted (1)`
    public var description: String {
        "cannot \(operation): \(reason)" + (code == 0 ? "" : " (\(code))")
    }
}
