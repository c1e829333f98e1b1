import CLibBPF
import Glibc

/// A request that the kernel, or libbpf on its behalf, refused.
public struct Failure: Error, Sendable {
    /// What was asked for, as it reads after "cannot": `load object`.
    public let operation: String
    /// What it was asked of: a program, a map, an interface.
    public let subject: String
    /// The kernel's `errno`; 0 if it was not the kernel that refused.
    public let code: Int32
    /// Why, in words; the text of `code` unless there is something better.
    public let reason: String
    /// What to do about it, when that is certain.
    public let cure: String?
    /// The verifier's last lines, when it was the verifier that refused.
    public let log: String?

    /// A refusal with the kernel's `errno`.
    public init(
        _ operation: String, _ subject: String, code: Int32, cure: String? = nil,
        log: String? = nil
    ) {
        self.operation = operation
        self.subject = subject
        self.code = code
        self.reason = String(cString: strerror(code))
        self.cure = cure ?? cures[code]
        self.log = log
    }

    /// A refusal of our own, for `reason`.
    public init(_ operation: String, _ subject: String, because reason: String, cure: String?) {
        self.operation = operation
        self.subject = subject
        self.code = 0
        self.reason = reason
        self.cure = cure
        self.log = nil
    }

    /// The cure where the kernel says who may and who may not. Which capabilities would do instead
    /// depends on all that somebody is about to do: see ``needing(_:)``.
    public static let needsRoot = "run as root"

    /// The same refusal, with the capabilities named that would do, if it was lack of them.
    public func needing(_ capabilities: [String]) -> Failure {
        // Of those who lack CAP_PERFMON the verifier asks more, and says EACCES.
        let isLack = code == EPERM || code == EACCES && log != nil
        guard isLack, cure == Self.needsRoot, let last = capabilities.last else { return self }
        let others = capabilities.dropLast().joined(separator: ", ")
        return cured(
            by: "\(Self.needsRoot), or with "
                + (others.isEmpty
                    ? "the capability \(last)" : "the capabilities \(others) and \(last)"))
    }

    /// The same refusal with what to do about it.
    public func cured(by cure: String) -> Failure {
        Failure(operation, subject, code: code, cure: cure, log: log)
    }
}

extension Failure: CustomStringConvertible {
    /// One line that says what and why, a second with the cure, then the verifier's log.
    public var description: String {
        let number = code == 0 ? "" : " (\(code))"
        let lines = ["cannot \(operation) \(subject): \(reason)\(number)"]
        return
            (lines
            + [cure, log].compactMap { $0 }.flatMap { text in
                text.split(separator: "\n").map { "  \($0)" }
            }).joined(separator: "\n")
    }
}

/// What helps, whatever was asked for.
private let cures: [Int32: String] = [EPERM: Failure.needsRoot, EACCES: Failure.needsRoot]

/// Turns a negative result of libbpf into a ``Failure``.
///
/// Since version 1.0 libbpf returns `-errno` itself, so nothing can come between the refusal and
/// the reading of its cause.
@discardableResult
func ask(
    _ operation: String, _ subject: @autoclosure () -> String, _ body: () -> Int32
) throws(Failure) -> Int32 {
    let result = body()
    guard result < 0 else { return result }
    throw Failure(operation, subject(), code: -result)
}
