import CLinux
import Glibc

/// A network of one thread's own, so that nothing ever touches the machine's.
///
/// Call from a process that ends with it, as an exit test does: the namespace belongs to the thread
/// that enters it. After an `await` the thread may be another one, in the machine's network: do
/// everything that needs the namespace before it.
public enum NetworkNamespace {
    /// What was refused, with the number of the error or the exit status.
    public struct Refusal: Error {
        let what: String
        let code: Int32
    }

    /// Enters a namespace that has nothing but a loopback.
    ///
    /// - Parameter seconds: After so many a signal ends the process, 0: none does. A test that
    ///   waits for what never comes must not wait for ever, and the time limit of a suite ends
    ///   the waiting for an exit test, not its process.
    public static func enterNew(endingWithin seconds: UInt32 = 60) throws {
        alarm(seconds)
        try check("unshare", linux_unshare_network())
        try ip("link set lo up")
    }

    /// Adds two interfaces joined by a cable, both up.
    public static func addPair(_ near: String, _ far: String) throws {
        try ip("link add \(near) type veth peer name \(far)")
        for name in [near, far] { try ip("link set \(name) up") }
    }

    /// Adds a link `near` with 10.0.0.1 and fd00::1, at whose other end, in a namespace of its
    /// own, a machine with 10.0.0.2, fd00::2 and the MAC address 02:00:00:00:00:02 answers.
    public static func addAnsweringPeer() throws {
        let home = try handle()
        try check("unshare", linux_unshare_network())
        let away = try handle()
        try check("setns", linux_enter_network(home))
        try ip("link add near type veth peer name far address 02:00:00:00:00:02")
        try ip("link set far netns /proc/\(getpid())/fd/\(away)")
        try ip("link set near up")
        try check("setns", linux_enter_network(away))
        try addAddresses("far", "10.0.0.2/24", "fd00::2/64")
        try check("setns", linux_enter_network(home))
        try addAddresses("near", "10.0.0.1/24", "fd00::1/64")
    }

    public static func addAddresses(_ name: String, _ addresses: String...) throws {
        try ip("link set \(name) up")
        for address in addresses {
            // Duplicate address detection would keep an address of IPv6 from use for a while.
            try ip("addr add \(address) dev \(name)" + (address.contains(":") ? " nodad" : ""))
        }
    }

    /// Runs `ip` with these arguments.
    public static func ip(_ arguments: String) throws {
        // The test runner is in the machine's network.
        guard try namespace("thread-self") != namespace("\(getppid())") else {
            throw Refusal(what: "ip \(arguments) in the machine's own network", code: EPERM)
        }
        var child: pid_t = 0
        var words = (["ip"] + arguments.split(separator: " ")).map { strdup(String($0)) } + [nil]
        defer { words.forEach { free($0) } }
        try check("spawn ip", -posix_spawnp(&child, "ip", nil, nil, &words, environ))
        var status: Int32 = 0
        waitpid(child, &status, 0)
        guard status == 0 else { throw Refusal(what: "ip \(arguments)", code: status) }
    }

    /// Runs many commands of `ip` at once.
    public static func batch(_ commands: [String]) throws {
        let file = try unnamedFile(commands.joined(separator: "\n") + "\n")
        defer { close(file) }
        try ip("-batch /proc/self/fd/\(file)")
    }

    /// Writes below `/proc/sys/net` of the namespace.
    public static func set(_ name: String, to value: String) throws {
        let file = open("/proc/sys/net/\(name)", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { throw Refusal(what: name, code: errno) }
        defer { close(file) }
        guard write(file, value, value.utf8.count) == value.utf8.count else {
            throw Refusal(what: name, code: errno)
        }
    }

    /// Polls until `condition` holds; false if it does not within ten seconds.
    public static func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<10_000 {
            if try condition() { return true }
            usleep(1000)
        }
        return false
    }

    private static func handle() throws -> Int32 {
        let handle = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        guard handle >= 0 else { throw Refusal(what: "open namespace", code: errno) }
        return handle
    }

    /// A file without a name, open for children to read, too.
    private static func unnamedFile(_ text: String) throws -> Int32 {
        var path = Array("/tmp/batch-XXXXXX".utf8CString)
        let file = mkstemp(&path)
        guard file >= 0, unlink(path) == 0,
            write(file, text, text.utf8.count) == text.utf8.count
        else { throw Refusal(what: "write batch", code: errno) }
        return file
    }

    private static func namespace(_ process: String) throws -> UInt {
        var status = stat()
        guard stat("/proc/\(process)/ns/net", &status) == 0 else {
            throw Refusal(what: "stat namespace of \(process)", code: errno)
        }
        return UInt(status.st_ino)
    }

    private static func check(_ what: String, _ result: Int32) throws {
        guard result == 0 else { throw Refusal(what: what, code: -result) }
    }
}
