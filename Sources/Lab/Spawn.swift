import CLinux
import Foundation

/// Starts a program, found by `PATH`, in a process group of its own: `posix_spawnp`.
///
/// - Parameters:
///   - arguments: The program's name, then its arguments.
///   - streams: The descriptors that become its standard input, output and error.
/// - Returns: The number of the process, which the caller must wait for.
func spawn(_ arguments: [String], streams: [Int32]) throws(Failure) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (standard, stream) in streams.enumerated() {
        posix_spawn_file_actions_adddup2(&actions, stream, Int32(standard))
    }
    // SwiftNIO opens its sockets without CLOEXEC: a child that inherited one would keep its
    // connection open, and who waits for the end of it would wait for the child's.
    linux_close_from(&actions, Int32(streams.count))
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    startAfresh(&attributes)

    var child: pid_t = 0
    let program = arguments[0]
    let result = withCStrings(arguments) { arguments in
        withCStrings(environment()) { environment in
            posix_spawnp(&child, program, &actions, &attributes, arguments, environment)
        }
    }
    guard result == 0 else {
        throw Failure(
            "start \(program)", code: result,
            cure: result == ENOENT ? "install the Debian packages \(debianPackages)" : "")
    }
    return child
}

/// What the lab needs of Debian.
private let debianPackages = "iproute2, ethtool and util-linux"

/// No signal blocked, none ignored, and no signal from the terminal.
private func startAfresh(_ attributes: inout posix_spawnattr_t) {
    let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
    posix_spawnattr_setflags(&attributes, Int16(flags))
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
}

/// Ours, with the directories of `ip` and `ethtool`, which `su` and CI like to leave out.
private func environment() -> [String] {
    var variables = ProcessInfo.processInfo.environment
    variables["PATH"] = (variables["PATH"] ?? "/usr/bin:/bin") + ":/usr/sbin:/sbin"
    return variables.map { "\($0)=\($1)" }
}

private func withCStrings<Result>(
    _ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
) -> Result {
    let copies = texts.map { strdup($0) }
    defer { copies.forEach { free($0) } }
    return body(copies + [nil])
}
