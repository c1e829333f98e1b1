import Glibc

/// The version of a Linux kernel, as far as it decides what can be asked of it.
public struct KernelVersion: Comparable, Hashable, Sendable, CustomStringConvertible {
    public let major: Int
    public let minor: Int

    public init(_ major: Int, _ minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Reads a release like `6.1.0-18-amd64`; nil if it does not begin with two numbers.
    public init?(release: String) {
        let numbers = release.split(separator: ".").prefix(2).map { $0.prefix { $0.isNumber } }
        guard numbers.count == 2, let major = Int(numbers[0]), let minor = Int(numbers[1])
        else { return nil }
        self.init(major, minor)
    }

    public static func < (left: Self, right: Self) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }

    public var description: String { "\(major).\(minor)" }
}

/// Refuses a kernel older than `minimum`: `uname(2)`.
public func requireKernel(_ minimum: KernelVersion) throws(Failure) {
    var name = utsname()
    guard uname(&name) == 0 else { throw Failure("ask for", "the kernel's version", code: errno) }
    let release = withUnsafeBytes(of: name.release) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    // An unknown form of release is no reason to refuse: loading says what is missing.
    if let version = KernelVersion(release: release), version < minimum {
        throw Failure(
            "run on", "Linux \(release)", because: "this kernel is too old",
            cure: "Linux \(minimum) or newer is needed; Debian 12 has it")
    }
}
