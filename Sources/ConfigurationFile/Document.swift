import Yams

/// What is wrong with a text that is no YAML.
struct NotYAML: Error {
    let errors: [ConfigurationError]
}

/// The tree of the one document in `text`; nil if there is none.
///
/// Keys that stand twice in a mapping are both in the tree, each with its place.
func document(_ text: String) throws(NotYAML) -> Value? {
    var source = try Source(text)
    while true {
        let failure: any Error
        do {
            // Without the rules of YAML 1.1 every text stays what it is: `no` is no truth value.
            return try compose(yaml: source.text, .basic, .default, .utf8).map { value($0, source) }
        } catch {
            failure = error
        }
        guard case .duplicatedKeysInMapping(let names, let context)? = failure as? YamlError else {
            throw NotYAML(errors: source.repetitions() + [syntaxError(failure, in: source)])
        }
        // The context is of the first name; the others are found on the next turn.
        let (name, position) = (names.first ?? "", Position(context.mark))
        guard source.hide(name, at: position) else {
            throw NotYAML(
                errors: source.repetitions() + [repetition(of: source.original(name), at: position)]
            )
        }
    }
}

extension Source {
    /// The keys known to stand twice, when the tree that would show both places can't be had.
    fileprivate func repetitions() -> [ConfigurationError] {
        hiddenKeys.map { repetition(of: $0.value, at: $0.key) }
    }
}

private func repetition(of key: String, at position: Position) -> ConfigurationError {
    ConfigurationError(
        at: position, found: "the key \(shown(key)), which is in this mapping once more",
        accepted: "each key once")
}

extension Position {
    init(_ mark: Mark) { self.init(line: mark.line, column: mark.column) }
}

/// The same tree in our own terms, never deeper than libyaml allows: 1000 levels.
private func value(_ node: Node, _ source: Source) -> Value {
    Value(
        position: node.mark.map { Position($0) } ?? .start, content: content(of: node, source))
}

private func content(of node: Node, _ source: Source) -> Value.Content {
    guard ownTags.contains(node.tag.description) else {
        return .unsupported("the tag \(shown(node.tag.description)), which is not supported")
    }
    switch node {
    case .scalar(let scalar):
        let text = source.original(scalar.string)
        guard scalar.style == .plain else { return .text(text, isQuoted: true) }
        if source.isAlias(scalar.string) {
            return .unsupported("the alias \(shown(text)), which is not supported")
        }
        let isNothing = ["", "~", "null", "Null", "NULL"].contains(text)
        return isNothing ? .nothing : .text(text, isQuoted: false)
    case .sequence(let sequence):
        return .list(sequence.map { value($0, source) })
    case .mapping(let mapping):
        return .mapping(
            mapping.map { key, element in
                Value.Entry(key: keyValue(key, source), value: value(element, source))
            })
    case .alias:
        return .unsupported("an alias, which is not supported")
    }
}

private func keyValue(_ node: Node, _ source: Source) -> Value {
    let key = value(node, source)
    guard let name = source.hiddenKeys[key.position] else { return key }
    return Value(position: key.position, content: .text(name, isQuoted: false))
}

/// The tags that a node has by itself.
private let ownTags: Set<String> = [
    Tag.Name.implicit.rawValue, Tag.Name.nonSpecific.rawValue, Tag.Name.str.rawValue,
    Tag.Name.seq.rawValue, Tag.Name.map.rawValue,
]
