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

    /// Makes the directory if it is missing, and keeps other controllers out of it: `flock(2)`.
    public func lock() throws(Failure) -> PinLock {
        try create()
        let number = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else { throw Failure("open", path, code: errno) }
        let lock = PinLock(descriptor: Descriptor(owning: number))
        guard flock(number, LOCK_EX | LOCK_NB) == 0 else {
            throw Failure(
                "take over the tables in", path, because: "another controller runs",
                cure: "stop it, or give this one a directory of its own with --pins")
        }
        return lock
    }
}

/// As long as it lives nobody else may change what the directory holds.
public struct PinLock: ~Copyable, Sendable {
    let descriptor: Descriptor
}
