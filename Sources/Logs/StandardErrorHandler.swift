import FoundationEssentials
import Glibc
public import Logging

/// Writes each event to standard error, as one line and at once.
public struct StandardErrorHandler: LogHandler {
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    public var logLevel: Logger.Level
    private let format: LogFormat
    private let isForJournal: Bool

    public init(_ format: LogFormat, level: Logger.Level) {
        self.format = format
        logLevel = level
        isForJournal = standardErrorIsJournal()
    }

    /// Has every logger of the process write so; once in a process.
    public static func bootstrap(_ format: LogFormat, level: Logger.Level) {
        LoggingSystem.bootstrap { _ in StandardErrorHandler(format, level: level) }
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var all = metadataProvider?.get() ?? [:]
        all.merge(metadata) { $1 }
        all.merge(event.metadata ?? [:]) { $1 }
        if let error = event.error { all["error"] = "\(error)" }
        let record = Record(
            time: Date(), level: event.level, message: "\(event.message)", metadata: all)
        writeWhole(record.line(format, forJournal: isForJournal))
    }
}

/// In one call where the kernel takes it so: lines of several threads do not mix then.
private func writeWhole(_ line: String) {
    var rest = Array(line.utf8)[...]
    while !rest.isEmpty {
        let count = unsafe write(STDERR_FILENO, Array(rest), rest.count)
        if count < 0, errno == EINTR { continue }
        // A log that nobody takes is no reason to stop forwarding.
        guard count > 0 else { return }
        rest = rest.dropFirst(count)
    }
}

/// Whether standard error is the stream that systemd names in JOURNAL_STREAM: it may have been
/// redirected since. systemd.exec(5)
private func standardErrorIsJournal() -> Bool {
    guard let stream = unsafe getenv("JOURNAL_STREAM") else { return false }
    var status = stat()
    guard unsafe fstat(STDERR_FILENO, &status) == 0 else { return false }
    return unsafe String(cString: stream) == "\(status.st_dev):\(status.st_ino)"
}
