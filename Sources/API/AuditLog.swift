import CLinux
public import Control
import FoundationEssentials
import Glibc
public import Logging

/// A file with a line of JSON for every change that was asked for, done or refused.
///
/// A change that can't be written down is not made: room for its line is reserved before.
public actor AuditLog {
    /// One change that was asked for.
    struct Entry: Encodable, Sendable {
        var time = Date()
        /// `uid 0 root (pid 4711)`
        var by: String
        var role: Requester.Role
        /// The name of the operation, as the description has it.
        var operation: String
        /// Of the request; nil: nobody asked over the API.
        var method: String?
        var path: String?
        /// Which service, backend or generation it is about; nil: the whole configuration.
        var object: String?
        /// Generations.
        var before: Int
        var after: Int?
        var outcome: Outcome?
        var status: Int?
        /// Why it was refused.
        var reason: String?

        enum Outcome: String, Encodable, Sendable { case done, refused, failed }
    }

    private let path: String
    private let logger: Logger
    private var descriptor: Int32
    /// Changes whose lines are still to come.
    private var pending = 0
    /// Whether a line was cut short.
    private var isTorn = false

    /// Readable for the group, for those who watch over the operators.
    private static let mode: mode_t = 0o640
    /// Of a reason, a path or a requester, in bytes of UTF-8: what somebody sent may be in each.
    private static let longestText = 1000
    /// Of one line, in bytes: three such texts and two names, of which JSON may make six times as
    /// much, and what we write ourselves.
    private static let longestLine: off_t = 64 << 10

    /// Opens the file, and makes it if need be: `open(2)` with `O_APPEND`.
    ///
    /// - Throws: ``Failure`` if it can't be written.
    public init(at path: String, logger: Logger) throws(Failure) {
        self.path = path
        self.logger = logger
        descriptor = try Self.open(path)
    }

    deinit { close(descriptor) }

    private static func open(_ path: String) throws(Failure) -> Int32 {
        let slash = path.lastIndex(of: "/") ?? path.startIndex
        // If it can't be made, opening the file says why.
        _ = unsafe mkdir(String(path[..<slash]), 0o750)
        let descriptor = unsafe Glibc.open(
            path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else {
            throw Failure("open the audit log", path, code: errno, cure: cure)
        }
        return descriptor
    }

    private static let cure =
        "no change is made that can't be written down: make its directory writable, or name "
        + "another file with `--audit-log`"

    /// Has a change made that nobody asks for over the API, and writes down what became of it.
    ///
    /// - Parameters:
    ///   - operation: What it would be called there.
    ///   - before: The generation that counts until then.
    /// - Throws: What `change` throws; ``Failure`` if there is no room for its line, and then it
    ///   was not made.
    nonisolated public func follow(
        _ operation: String, by requester: Requester, at before: Int,
        _ change: () async throws -> Generation
    ) async throws {
        var entry = Entry(
            by: requester.name, role: requester.role, operation: operation, before: before)
        do { try await admit() } catch {
            logger.error("\(error)")
            throw error
        }
        do {
            entry.after = try await change().number
            entry.outcome = .done
            await record(entry)
        } catch {
            (entry.after, entry.reason) = (before, "\(error)")
            entry.outcome = error is Refusal ? .refused : .failed
            await record(entry)
            throw error
        }
    }

    /// To be called before a change, and then ``record(_:)`` once after it.
    ///
    /// - Throws: ``Failure`` if there will be no line for it: the change must not be made.
    func admit() throws(Failure) {
        try reopenIfMoved()
        var file = stat()
        guard unsafe fstat(descriptor, &file) == 0 else {
            throw Failure("write the audit log", path, code: errno, cure: Self.cure)
        }
        let room = off_t(pending + 1) * Self.longestLine
        // Not every file system can reserve: there the line is written without.
        let code = -linux_reserve(descriptor, Int64(file.st_size), Int64(room))
        guard [0, EOPNOTSUPP, ENOSYS].contains(code) else {
            throw Failure("write the audit log", path, code: code, cure: Self.cure)
        }
        pending += 1
    }

    /// Writes what became of a change that was admitted.
    func record(_ entry: Entry) {
        pending -= 1
        var entry = entry
        entry.reason = entry.reason?.cut(toBytes: Self.longestText)
        entry.path = entry.path?.cut(toBytes: Self.longestText)
        entry.by = entry.by.cut(toBytes: Self.longestText)
        log(entry)
        do {
            try reopenIfMoved()
            let line = try encoder().encode(entry)
            try write((isTorn ? [0x0a] : []) + Array(line) + [0x0a])
        } catch {
            logger.error("\(error)")
        }
    }

    /// logrotate(8) renames the file: what comes then belongs into a new one.
    private func reopenIfMoved() throws(Failure) {
        var (opened, named) = (stat(), stat())
        if unsafe fstat(descriptor, &opened) == 0, unsafe lstat(path, &named) == 0,
            (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)
        {
            return
        }
        let new = try Self.open(path)
        close(descriptor)
        descriptor = new
        isTorn = false
    }

    private func write(_ bytes: [UInt8]) throws(Failure) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                isTorn = rest.count < bytes.count || isTorn
                throw Failure("write the audit log", path, code: errno, cure: Self.cure)
            }
            rest = rest.dropFirst(count)
        }
        isTorn = false
    }

    private func log(_ entry: Entry) {
        var metadata: Logger.Metadata = [
            "by": "\(entry.by)", "operation": "\(entry.operation)",
            "generation": "\(entry.after ?? entry.before)",
        ]
        let names = entry.object?.split(separator: "/") ?? []
        for (key, name) in zip(["service", "backend"], names) { metadata[key] = "\(name)" }
        let outcome = entry.outcome?.rawValue ?? "asked for"
        let object = entry.object.map { " \($0)" } ?? ""
        let reason = entry.reason.map { ": \($0)" } ?? ""
        logger.notice(
            "\(entry.by): \(entry.operation)\(object) \(outcome)\(reason)", metadata: metadata)
    }
}

extension String {
    /// Its beginning, of at most so many bytes in UTF-8, up to the end of a scalar: one character
    /// may have any number of these.
    func cut(toBytes count: Int) -> String {
        guard utf8.count > count else { return self }
        var length = 0
        var start = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            length += UTF8.width(scalar)
            guard length <= count else { break }
            start.append(scalar)
        }
        return String(start)
    }
}
