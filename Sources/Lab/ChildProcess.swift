import Foundation
import Synchronization

/// A child of this process with its three streams.
///
/// Not Foundation's `Process`: a child must not inherit our descriptors, nor the signals that
/// Dispatch blocks on its threads, nor die of the Ctrl-C that is meant for us.
final class ChildProcess: Sendable {
    let output: Lines
    let errors: Lines
    private let input: Mutex<Descriptor?>
    private let identity: Identity
    private let status: Task<ExitStatus, Never>

    /// Starts a program, found by `PATH`, with all streams open.
    init(_ arguments: [String]) throws(Failure) {
        let input = try ProgramStream()
        let output = try ProgramStream()
        let errors = try ProgramStream()
        let identity = Identity(
            try spawn(
                arguments,
                streams: [input.far.number, output.far.number, errors.far.number]))
        self.identity = identity
        self.input = Mutex(input.keepingNear())
        self.output = Lines(of: output.keepingNear())
        self.errors = Lines(of: errors.keepingNear())
        status = Task { await identity.end() }
    }

    /// Whether the process is gone.
    var hasEnded: Bool { identity.unlessGone { _ in true } == nil }

    /// The first living child of the process, as /proc has it.
    var child: pid_t? { identity.unlessGone(firstChild) ?? nil }

    /// Lets the program read a line; waits while it does not read and too much is on the way.
    func write(line: String) throws(Failure) {
        let bytes = Array((line + "\n").utf8)
        let count = input.withLock { input in
            let number = input?.number ?? -1
            return send(number, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        }
        guard count == bytes.count else { throw Failure("write to a program", code: errno) }
    }

    /// Lets the program read the end of its input.
    func closeInput() { input.withLock { $0 = nil } }

    /// Sends a signal to the process, unless it is gone.
    func signal(_ signal: Int32) { identity.unlessGone { kill($0, signal) } }

    /// Kills what is left of the process and of all that it has started.
    func killGroup() { kill(-identity.group, SIGKILL) }

    /// Waits until the process is gone.
    func end() async -> ExitStatus { await status.value }

    /// Waits until the process is gone and nobody can write to its streams any more.
    func finish() async -> Output {
        let status = await end()
        await output.end()
        await errors.end()
        return Output(status: status, stdout: output.text, stderr: errors.text)
    }
}

/// The number of a process, which is its own only until it is waited for.
private final class Identity: Sendable {
    /// The number of its process group: the kernel gives it to nobody while a member lives.
    let group: pid_t
    private let number: Mutex<pid_t?>

    init(_ number: pid_t) {
        group = number
        self.number = Mutex(number)
    }

    /// What `body` makes of the number; nil if the process is gone.
    @discardableResult
    func unlessGone<Result: Sendable>(_ body: (pid_t) -> Result) -> Result? {
        number.withLock { $0.map(body) }
    }

    /// Waits for the process, on a thread of its own, for `waitid` blocks.
    func end() async -> ExitStatus {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: self.reap()) }
        }
    }

    private func reap() -> ExitStatus {
        guard let child = unlessGone({ $0 }) else { return .exited(0) }
        // First only look: until the number is taken away below, others may send signals to it.
        var information = siginfo_t()
        while waitid(P_PID, id_t(child), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        return number.withLock {
            $0 = nil
            var status: Int32 = 0
            while waitpid(child, &status, 0) < 0, errno == EINTR {}
            return ExitStatus(waitStatus: status)
        }
    }
}

private func firstChild(of process: pid_t) -> pid_t? {
    let path = "/proc/\(process)/task/\(process)/children"
    let children = try? String(contentsOfFile: path, encoding: .utf8)
    return children?.split(separator: " ").first.flatMap { pid_t($0) }
}
