import Glibc

extension PinDirectory {
    /// Who keeps others from changing what a directory holds: see ``PinDirectory/lock()``.
    public struct Holder: Sendable, Hashable, CustomStringConvertible {
        /// Its number in our process namespace; nil: it is not there, or `/proc` is not ours.
        public let process: Int32?

        /// `process 4711, martlet run`, as it reads after "a controller".
        public var description: String {
            guard let process else { return "in another process namespace" }
            return "process \(process)" + (command(of: process).map { ", \($0)" } ?? "")
        }
    }

    /// The controller that has the directory locked; nil: none does.
    public func holder() throws(Failure) -> Holder? {
        let number = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw Failure("look into", path, code: errno)
        }
        defer { close(number) }
        if flock(number, LOCK_SH | LOCK_NB) == 0 { return nil }
        var found = stat()
        guard fstat(number, &found) == 0 else { return Holder(process: nil) }
        return Holder(process: process(locking: found))
    }
}

/// The process that has a `flock(2)` on the file: `/proc/locks`, proc_locks(5).
private func process(locking file: stat) -> Int32? {
    // As in glibc's <bits/sysmacros.h>, which Swift does not import.
    let device = UInt64(file.st_dev)
    let major = (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF
    let minor = device & 0xFF | (device >> 12) & ~0xFF
    return text(ofFileAt: "/proc/locks").split(separator: "\n").lazy.compactMap { line in
        let words = line.split(separator: " ")
        guard words.count >= 6, words[1] == "FLOCK" else { return nil }
        let place = words[5].split(separator: ":")
        guard place.count == 3, UInt64(place[0], radix: 16) == major,
            UInt64(place[1], radix: 16) == minor, UInt64(place[2]) == UInt64(file.st_ino)
        else { return nil }
        return Int32(words[4]).flatMap { $0 > 0 ? $0 : nil }
    }.first
}

/// The first words of a process's command, its program without the directory: proc_pid_cmdline(5).
private func command(of process: Int32) -> String? {
    var words = text(ofFileAt: "/proc/\(process)/cmdline").split(separator: "\0").map(String.init)
    guard let program = words.first else { return nil }
    words[0] = String(program.split(separator: "/").last ?? "")
    let line = words.joined(separator: " ")
    return line.count <= longestCommand ? line : line.prefix(longestCommand) + " …"
}

/// So that a message stays one that is read.
private let longestCommand = 80

private func text(ofFileAt path: String) -> String {
    let number = open(path, O_RDONLY | O_CLOEXEC)
    guard number >= 0 else { return "" }
    defer { close(number) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    while true {
        let count = read(number, &buffer, buffer.count)
        guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
        bytes += buffer.prefix(count)
    }
}
