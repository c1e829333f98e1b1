/// Reads values and gathers what is wrong, so that all of it can be said at once.
///
/// A function that returns nil has reported why, or what was needed for it has been.
struct Reader {
    private(set) var errors: [ConfigurationError]
    /// What the texts are called that are read together; the first is the file.
    private let sources: [String]

    /// - Parameter errors: What is known to be wrong already.
    init(sources: [String], errors: [ConfigurationError] = []) {
        self.sources = sources
        self.errors = errors
    }

    /// `line 3`, as it is called where `other` stands: `line 3 of martlet.yaml` in another text.
    func line(of position: Position, from other: Position) -> String {
        let isSame = position.source == other.source
        return "line \(position.line)" + (isSame ? "" : " of \(sources[position.source])")
    }

    mutating func report(
        _ position: Position, _ path: Path, found: String, accepted: String,
        suggestion: String? = nil
    ) {
        errors.append(
            ConfigurationError(
                at: position, path: path.text, found: found, accepted: accepted,
                suggestion: suggestion))
    }

    mutating func report(_ value: Value, at path: Path, accepted: String) {
        report(value.position, path, found: value.found, accepted: accepted)
    }

    /// Reports the key, if it is there, as one that means nothing with something else there.
    mutating func refuse(_ key: String, _ fields: Fields, with other: String, accepted: String) {
        guard let position = fields.keyPositions[key] else { return }
        report(
            position, fields.path.key(key), found: "the key with \(other)", accepted: accepted)
    }

    /// The value under `key`, which has to be there.
    mutating func required(_ key: String, _ fields: Fields, accepted: String) -> Value? {
        if let value = fields.values[key] { return value }
        if !fields.misspelt.contains(key) {
            report(fields.position, fields.path.key(key), found: "nothing", accepted: accepted)
        }
        return nil
    }

    /// What stands under `key`, which has to be there.
    mutating func read<Result>(
        _ key: String, _ fields: Fields, as kind: Kind<Result>
    ) -> Result? {
        required(key, fields, accepted: kind.accepted)
            .flatMap { read($0, at: fields.path.key(key), as: kind) }
    }

    /// What stands under `key`; `standard` if the file has no such key.
    mutating func read<Result>(
        _ key: String, _ fields: Fields, as kind: Kind<Result>, default standard: Result?
    ) -> Result? {
        guard fields.has(key) else { return standard }
        return fields.values[key].flatMap { read($0, at: fields.path.key(key), as: kind) }
    }

    /// What one value is.
    mutating func read<Result>(
        _ value: Value, at path: Path, as kind: Kind<Result>
    ) -> Result? {
        guard case .text(let text, let isQuoted) = value.content else {
            report(value, at: path, accepted: kind.accepted)
            return nil
        }
        switch kind.read(text, isQuoted) {
        case .value(let result): return result
        case .refused(let remark, let accepted, let suggestion):
            // That there are quotes matters where the text would do without them.
            let found = isQuoted && suggestion != text ? shown(text) : value.found
            report(
                value.position, path, found: found + (remark.map { ", \($0)" } ?? ""),
                accepted: accepted ?? kind.accepted, suggestion: suggestion)
            return nil
        }
    }
}

/// Values that must differ, and where each was first.
struct Distinct<Key: Hashable> {
    private var first: [Key: Position] = [:]

    /// Where `key` was before, if it was.
    mutating func earlier(_ key: Key, _ position: Position) -> Position? {
        if let earlier = first[key] { return earlier }
        first[key] = position
        return nil
    }
}
