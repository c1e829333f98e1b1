import CLinux
import Glibc

/// A directory of the BPF file system, where maps, programs and links outlive their makers.
public struct PinDirectory: Sendable, Hashable {
    /// Absolute, without a slash at the end: `/sys/fs/bpf/martlet`.
    public let path: String

    public init(_ path: String) { self.path = path }

    /// Where systems have their BPF file system.
    public static let standardParent = "/sys/fs/bpf"

    /// The path of the entry `name`.
    public func path(of name: String) -> String { "\(path)/\(name)" }

    /// Whether there is an entry `name`.
    ///
    /// - Throws: What may not be seen is not missing.
    public func contains(_ name: String) throws(Failure) -> Bool {
        if access(path(of: name), F_OK) == 0 { return true }
        guard errno == ENOENT || errno == ENOTDIR else {
            throw Failure("look into", path, code: errno)
        }
        return false
    }

    /// The names of the entries, sorted; none if there is no such directory.
    ///
    /// - Throws: What may not be seen is not missing.
    public func entries() throws(Failure) -> [String] {
        guard let directory = opendir(path) else {
            guard errno == ENOENT || errno == ENOTDIR else {
                throw Failure("look into", path, code: errno)
            }
            return []
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Makes the directory, readable by root alone; its parent must be a BPF file system.
    public func create() throws(Failure) {
        let parent = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        guard linux_is_bpf_file_system(parent) == 1 else {
            let isStandardThere = linux_is_bpf_file_system(Self.standardParent) == 1
            throw Failure(
                "pin in", path, because: "\(parent) is not a BPF file system",
                cure: isStandardThere
                    ? "choose a directory in \(Self.standardParent)"
                    : "mount -t bpf bpf \(Self.standardParent)"
                        + (parent == Self.standardParent
                            ? "" : ", and choose a directory in it"))
        }
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw Failure("make directory", path, code: errno)
        }
    }

    /// Removes the entry `name`; it is no error if there is none.
    public func remove(_ name: String) throws(Failure) {
        guard unlink(path(of: name)) == 0 || errno == ENOENT else {
            throw Failure("remove pin", path(of: name), code: errno)
        }
    }

    /// Removes the directory itself, which must be empty; it is no error if there is none.
    public func removeDirectory() throws(Failure) {
        guard rmdir(path) == 0 || errno == ENOENT else {
            throw Failure("remove directory", path, code: errno)
        }
    }

    /// The directory `name` in this one.
    public func directory(_ name: String) -> PinDirectory { PinDirectory(path(of: name)) }

    /// Puts the entry `name` into another directory, in the place of what has the name there: at
    /// no moment has nothing the name. `rename(2)`
    public func move(
        _ name: String, to other: PinDirectory, as newName: String? = nil
    ) throws(Failure) {
        guard rename(path(of: name), other.path(of: newName ?? name)) == 0 else {
            throw Failure("rename pin", path(of: name), code: errno)
        }
    }

    /// Whether the entry `name` is a directory.
    public func isDirectory(_ name: String) throws(Failure) -> Bool {
        var status = stat()
        guard stat(path(of: name), &status) == 0 else {
            throw Failure("look into", path(of: name), code: errno)
        }
        return status.st_mode & S_IFMT == S_IFDIR
    }

    /// What is pinned as `name`; nil: nothing, or something else than a program, map or link.
    public func kind(of name: String) throws(Failure) -> PinKind? {
        guard try contains(name) else { return nil }
        guard try !isDirectory(name), let descriptor = try? Descriptor(pinnedAt: path(of: name))
        else { return nil }
        var target = [CChar](repeating: 0, count: 64)
        let count = readlink("/proc/self/fd/\(descriptor.number)", &target, target.count - 1)
        guard count > 0 else { return nil }
        let text = target.prefix(count).map(UInt8.init(bitPattern:))
        return PinKind(describing: String(decoding: text, as: UTF8.self))
    }

    /// Makes the directory if it is missing, and keeps other controllers out of it: `flock(2)`.
    public func lock() throws(Failure) -> PinLock {
        try create()
        let number = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else { throw Failure("open", path, code: errno) }
        let lock = PinLock(descriptor: Descriptor(owning: number))
        guard flock(number, LOCK_EX | LOCK_NB) == 0 else {
            let holder = try? self.holder()
            throw Failure(
                "take over the tables in", path,
                because: "another controller runs" + (holder.map { " (\($0))" } ?? ""),
                cure: "stop it, or give this one a directory of its own with --pins")
        }
        return lock
    }
}

/// What can be pinned.
public enum PinKind: Sendable {
    case map
    case program
    case link

    /// By what `/proc/self/fd` says of a descriptor; nil: it is something else.
    init?(describing text: String) {
        switch text {
        case "anon_inode:bpf-map": self = .map
        case "anon_inode:bpf-prog": self = .program
        // One that was opened, and one that was just made.
        case "anon_inode:bpf-link", "anon_inode:bpf_link": self = .link
        default: return nil
        }
    }
}

/// As long as it lives nobody else may change what the directory holds.
public struct PinLock: ~Copyable, Sendable {
    let descriptor: Descriptor
}
