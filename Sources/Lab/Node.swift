import Foundation

/// A machine of the lab: network, mounts and processes of its own, and no name that another lab
/// could stumble over.
///
/// Its first process waits for the end of an input that comes from us. When we end, however we
/// end, so does that input, and then the node's first process; the kernel kills all others of the
/// node, and the namespaces vanish with their interfaces and pinned BPF objects.
///
/// Inside, `/sys` shows the node's interfaces, `/sys/fs/bpf` is a BPF file system of the node's
/// own, `/run` and `/var/lib` are empty, and everything else is the machine's. The working
/// directory is `/`.
public final class Node: Sendable {
    /// How the topology calls it; the kernel knows nothing of the name.
    public let name: String
    /// The first process of the node, as seen from outside.
    public let identifier: Int32
    /// `unshare`, the parent of that process.
    private let holder: ChildProcess

    /// Makes a node in which no link exists but `lo`.
    ///
    /// - Parameter settings: Shell commands to run before any interface arrives.
    init(_ name: String, settings: String) async throws(Failure) {
        self.name = name
        holder = try ChildProcess(unshare + ["sh", "-ec", mounts + settings + "\n" + hold])
        do {
            try await holder.output.first { $0 == "ready" }
        } catch {
            holder.closeInput()
            let output = await holder.finish()
            throw Failure(
                "make node \(name)", because: "\(output.status)",
                details: output.stderr + (geteuid() == 0 ? "" : "run as root"))
        }
        guard let identifier = holder.child else {
            throw Failure("make node \(name)", because: "it ended at once")
        }
        self.identifier = identifier
    }

    deinit { holder.closeInput() }

    /// Runs a program to its end.
    ///
    /// - Parameter limit: After this it is killed.
    /// - Throws: ``Failure`` with the command, its status and what it wrote to standard error,
    ///   unless it ends with status 0 in time.
    @discardableResult
    public func run(
        _ arguments: [String], within limit: Duration = patience
    ) async throws(Failure) -> Output {
        let program = try await start(arguments)
        program.closeInput()
        let output = try await program.wait(within: limit)
        guard output.succeeded else {
            throw program.failure(because: "\(output.status)", output)
        }
        return output
    }

    /// Runs a program to its end, which may be a bad one.
    ///
    /// - Parameter limit: After this it is killed.
    /// - Throws: ``Failure`` unless it ends in time.
    public func attempt(
        _ arguments: [String], within limit: Duration = patience
    ) async throws(Failure) -> Output {
        let program = try await start(arguments)
        program.closeInput()
        return try await program.wait(within: limit)
    }

    /// Starts a program and returns once it exists; wait for a line of it to know that it is ready.
    public func start(_ arguments: [String]) async throws(Failure) -> RunningProgram {
        try await RunningProgram(arguments, in: self)
    }

    /// The path from outside to the file that is at `path` inside, such as a daemon's socket.
    public func path(_ path: String) -> String { "/proc/\(identifier)/root\(path)" }

    /// Ends the node as pulling its plug would, and waits until all its processes are gone.
    public func end() async {
        if let first = holder.child { kill(first, SIGKILL) }
        _ = await holder.end()
    }

    /// Runs shell commands in the node's network but among the machine's processes and files,
    /// where the path of another node's network can be opened.
    func runOutside(_ script: String) async throws(Failure) {
        let process = try ChildProcess(
            ["nsenter", "--target", "\(identifier)", "--net", "--", "sh", "-ec", script])
        process.closeInput()
        let output = await process.finish()
        guard output.succeeded else {
            throw Failure(
                "set up the network of node \(name)", because: "\(output.status)",
                details: output.stderr + script)
        }
    }

    /// The command that runs the arguments after it inside.
    ///
    /// It forks, so that the program is born in the node's process namespace and dies with it.
    var entering: [String] {
        ["nsenter", "--target", "\(identifier)", "--net", "--mount", "--pid", "--"]
    }

    /// The node's network namespace as a file, by which another node can send it an interface.
    var networkPath: String { "/proc/\(identifier)/ns/net" }
}

/// Nothing that is mounted inside is seen outside; if `unshare` dies, so does the node.
private let unshare = [
    "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
    "--propagation", "private", "--",
]

private let mounts = """
    mount -t sysfs sysfs /sys
    mount -t bpf bpf /sys/fs/bpf
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /var/lib
    ip link set lo up

    """

/// Waits for the end of the input.
///
/// The shell stays, as the first process of the node, to bury orphans while `cat` reads. Without a
/// last command it would become `cat`, which buries nobody.
private let hold = "echo ready\ncat\nexit"
