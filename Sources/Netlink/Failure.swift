import Glibc

/// A request that the kernel refused, or an answer that can't be read.
public struct Failure: Error, Hashable, Sendable {
    /// What was asked for, as it reads after "cannot": `list`.
    public let operation: String
    /// What it was asked of: `links`, an address, an interface.
    public let subject: String
    /// The kernel's `errno`; 0 if it was not the kernel that refused.
    public let code: Int32
    /// Why, in words: the text of `code` unless it was not the kernel that refused.
    public let reason: String
    /// What the kernel itself says about it (`NLMSGERR_ATTR_MSG`), if it says anything.
    public let kernelText: String?
    /// What to do about it, when that is certain.
    public let cure: String?

    init(
        _ operation: String, _ subject: String, code: Int32, kernelText: String? = nil,
        cure: String? = nil
    ) {
        self.operation = operation
        self.subject = subject
        self.code = code
        self.reason = String(cString: strerror(code))
        self.kernelText = kernelText
        self.cure = cure ?? cures[code]
    }

    init(_ operation: String, _ subject: String, because reason: String) {
        self.operation = operation
        self.subject = subject
        self.code = 0
        self.reason = reason
        self.kernelText = nil
        self.cure = nil
    }
}

extension Failure: CustomStringConvertible {
    /// `cannot list links: Operation not permitted (1)`, what the kernel says in front of the
    /// number, the cure on a line of its own.
    public var description: String {
        let number = code == 0 ? "" : " (\(code))"
        let reasons = [reason, kernelText].compactMap(\.self).joined(separator: ": ")
        let refusal = "cannot \(operation) \(subject): \(reasons)\(number)"
        return [refusal, cure.map { "  \($0)" }].compactMap(\.self).joined(separator: "\n")
    }
}

/// What helps, whatever was asked for.
private let cures: [Int32: String] = [
    EPERM: "run as root, or with the capability CAP_NET_ADMIN"
]
