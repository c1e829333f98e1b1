public import FoundationEssentials
public import Logging

/// What is written of one event, in either format: always one line, whatever is in it.
public struct Record: Sendable {
    public var time: Date
    public var level: Logger.Level
    public var message: String
    public var metadata: Logger.Metadata

    public init(
        time: Date, level: Logger.Level, message: String, metadata: Logger.Metadata = [:]
    ) {
        self.time = time
        self.level = level
        self.message = message
        self.metadata = metadata
    }

    /// The line, with its end.
    ///
    /// - Parameter forJournal: It goes to systemd's journal, which notes the time itself and takes
    ///   the priority from the line: sd-daemon(3).
    public func line(_ format: LogFormat, forJournal: Bool = false) -> String {
        let priority = forJournal ? "<\(level.priority)>" : ""
        switch format {
        case .json: return priority + json + "\n"
        case .text: return priority + (forJournal ? "" : "\(timestamp) \(level): ") + text + "\n"
        }
    }

    /// Seconds would do for people; milliseconds tell what was first. RFC 3339.
    private var timestamp: String {
        time.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }

    private var text: String {
        let pairs = fields.map { "\($0.key)=\($0.value.word)" }
        return onOneLine(message) + (pairs.isEmpty ? "" : "  " + pairs.joined(separator: " "))
    }

    private var json: String {
        let own = [
            ("time", quoted(timestamp)), ("level", quoted("\(level)")),
            ("message", quoted(message)),
        ]
        let taken = Set(own.map(\.0))
        let others = fields.map { field in
            (taken.contains(field.key) ? field.key + "_" : field.key, field.value.json)
        }
        return "{" + (own + others).map { "\(quoted($0.0)):\($0.1)" }.joined(separator: ",") + "}"
    }

    /// What an incident is looked for by comes first, then the rest in the order of the alphabet.
    private var fields: [(key: String, value: Logger.MetadataValue)] {
        let first = ["service", "backend", "generation", "event"]
        let known = first.compactMap { key in metadata[key].map { (key, $0) } }
        let others = metadata.filter { !first.contains($0.key) }.sorted { $0.key < $1.key }
        return (known + others.map { ($0.key, $0.value) }).flatMap { flat($0.0, $0.1) }
    }
}

/// `a.b` for what is `b` in `a`.
private func flat(
    _ key: String, _ value: Logger.MetadataValue
) -> [(key: String, value: Logger.MetadataValue)] {
    guard case .dictionary(let inner) = value else { return [(key, value)] }
    return inner.sorted { $0.key < $1.key }.flatMap { flat("\(key).\($0.key)", $0.value) }
}

extension Logger.Level {
    /// The priority of syslog(3).
    fileprivate var priority: Int {
        switch self {
        case .critical: 2
        case .error: 3
        case .warning: 4
        case .notice: 5
        case .info: 6
        case .debug, .trace: 7
        }
    }
}

extension Logger.MetadataValue {
    /// As it stands in a line of text: quoted unless it is plain.
    fileprivate var word: String {
        let text = "\(self)"
        let isPlain = text.unicodeScalars.allSatisfy { scalar in
            scalar.isASCII && scalar.value > 0x20 && scalar.value < 0x7f
                && scalar != "\"" && scalar != "=" && scalar != "\\"
        }
        return isPlain && !text.isEmpty ? text : quoted(text)
    }

    /// Numbers and truth values as such, everything else as text.
    fileprivate var json: String {
        guard case .stringConvertible(let value) = self else {
            if case .array(let values) = self {
                return "[" + values.map(\.json).joined(separator: ",") + "]"
            }
            return quoted("\(self)")
        }
        return switch value {
        case let number as any BinaryInteger: "\(number)"
        case let truth as Bool: "\(truth)"
        case let number as Double where number.isFinite: "\(number)"
        default: quoted("\(value)")
        }
    }
}
