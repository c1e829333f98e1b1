/// One thing in a configuration file that can't be accepted.
public struct ConfigurationError: Hashable, Sendable {
    /// Counted from 1; 0: the file as a whole.
    public let line: Int
    public let column: Int
    /// `services[0].backends[1].address`; empty: the whole document.
    public let path: String
    /// What stands there, as it reads after "found".
    public let found: String
    /// What may stand there, as it reads after "accepted:".
    public let accepted: String
}

/// Everything that is wrong with a configuration file, in the order of the file.
public struct ConfigurationErrors: Error, Hashable, Sendable, CustomStringConvertible {
    /// The name under which the file was read.
    public let file: String
    /// Never empty.
    public let errors: [ConfigurationError]

    init(file: String, errors: [ConfigurationError]) {
        self.file = file
        self.errors = errors.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
    }

    /// A line for each: `martlet.yaml:3:9: services[0].port: found 70000, accepted: …`
    public var description: String {
        errors.map { error in
            let place = error.line == 0 ? file : "\(file):\(error.line):\(error.column)"
            let path = error.path.isEmpty ? "" : "\(error.path): "
            return "\(place): \(path)found \(error.found), accepted: \(error.accepted)"
        }.joined(separator: "\n")
    }
}
