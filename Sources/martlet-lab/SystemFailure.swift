import Glibc

/// A call to the system that was refused.
struct SystemFailure: Error, CustomStringConvertible {
    let description: String

    /// Reads the reason in `errno`, so nothing may come between the call and this.
    init(_ operation: String) {
        let code = errno
        description = "cannot \(operation): \(String(cString: strerror(code))) (\(code))"
    }
}
