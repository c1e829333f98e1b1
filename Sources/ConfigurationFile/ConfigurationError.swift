/// One thing in a configuration file that can't be accepted.
public struct ConfigurationError: Hashable, Sendable {
    /// What the text is called in which it stands: a file, or what was ordered over the API, as in
    /// `service web`.
    public fileprivate(set) var file = ""
    /// Where it stands there; nil: the text as a whole.
    public fileprivate(set) var position: Position?
    /// `services[0].backends[1].address`; empty: the whole document, or no YAML. In what was
    /// ordered over the API it begins there: `backends[1].address`.
    public let path: String
    /// What stands there, as it reads after "found".
    public let found: String
    /// What may stand there, as it reads after "accepted:".
    public let accepted: String
    /// What was probably meant.
    public let suggestion: String?

    init(
        at position: Position?, path: String = "", found: String, accepted: String,
        suggestion: String? = nil
    ) {
        self.position = position
        self.path = path
        self.found = found
        self.accepted = accepted
        self.suggestion = suggestion
    }

    /// An error of the text of that name as a whole.
    init(in file: String, found: String, accepted: String) {
        self.init(at: nil, found: found, accepted: accepted)
        self.file = file
    }
}

extension ConfigurationError: CustomStringConvertible {
    /// As in `3:9: services[0].port: found 70000, accepted: a number from 1 to 65535, or any`.
    public var description: String {
        let place = position.map { "\($0): " } ?? ""
        let path = path.isEmpty ? "" : "\(path): "
        let guess = suggestion.map { " (did you mean \($0)?)" } ?? ""
        return "\(place)\(path)found \(found), accepted: \(accepted)\(guess)"
    }
}

/// Why a configuration can't be used: everything that is wrong with it, or why it can't be read.
public struct ConfigurationErrors: Error, Hashable, Sendable {
    /// The name under which the file was read.
    public let file: String
    /// What is wrong with the text, in the order of the file; what was ordered over the API comes
    /// after that.
    public let errors: [ConfigurationError]
    /// Why there is no text, with `errno`, and in a second line the cure; nil if there is one.
    public let refusal: String?

    init(file: String, errors: [ConfigurationError]) {
        self.init(sources: [file], errors: errors)
    }

    /// - Parameter sources: What the texts are called; the first is the file.
    init(sources: [String], errors: [ConfigurationError]) {
        precondition(!errors.isEmpty, "a refusal without a reason")
        self.file = sources[0]
        self.refusal = nil
        // Errors at one place stay in the order in which they were found.
        self.errors = errors.enumerated().sorted {
            ($0.element.position ?? .start, $0.offset) < ($1.element.position ?? .start, $1.offset)
        }.map { $0.element.named(sources) }
    }

    init(file: String, refusal: String) {
        self.file = file
        self.errors = []
        self.refusal = refusal
    }
}

extension ConfigurationErrors: CustomStringConvertible {
    /// A line for each error, as compilers write them: `martlet.yaml:3:9: …`.
    public var description: String {
        if let refusal { return "cannot read \(file): \(refusal)" }
        return errors.map(\.line).joined(separator: "\n")
    }
}

extension ConfigurationError {
    /// As compilers write it: `martlet.yaml:3:9: …`.
    public var line: String { "\(file):\(position == nil ? " " : "")\(self)" }

    /// With the name of its text in place of the number.
    func named(_ sources: [String]) -> ConfigurationError {
        var error = self
        if file.isEmpty { error.file = sources[position?.source ?? 0] }
        error.position = position?.inSource(0)
        return error
    }

    /// The same in another text.
    func inSource(_ source: Int) -> ConfigurationError {
        var error = self
        error.position = (position ?? .start).inSource(source)
        return error
    }
}
