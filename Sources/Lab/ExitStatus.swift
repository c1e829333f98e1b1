import Glibc

/// How a program ended.
public enum ExitStatus: Hashable, Sendable, CustomStringConvertible {
    /// By itself, with this status; 0 is success.
    case exited(Int32)
    /// By this signal.
    case killed(signal: Int32)

    /// As people read it: `exit status 2`, `killed by signal 9`.
    public var description: String {
        switch self {
        case .exited(let status): "exit status \(status)"
        case .killed(let signal): "killed by signal \(signal)"
        }
    }

    /// Reads what `waitpid` said; wait(2) describes the bits, Swift can't see the macros.
    init(waitStatus: Int32) {
        let signal = waitStatus & 0x7f
        self = signal == 0 ? .exited(waitStatus >> 8 & 0xff) : .killed(signal: signal)
    }
}
