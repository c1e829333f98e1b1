import Yams

/// What Yams complains about, in the words of someone who writes a configuration.
func syntaxError(_ error: any Error, in source: Source) -> ConfigurationError {
    switch error as? YamlError {
    case .scanner(let context, let problem, let mark, _),
        .parser(let context, let problem, let mark, _),
        .composer(let context, let problem, let mark, _):
        let position = source.inside(Position(mark))
        let words = words(for: problem, at: source[position])
        let origin = context.flatMap { beginning(of: $0, before: position) } ?? ""
        return ConfigurationError(
            at: position, found: words.found + origin, accepted: words.accepted)
    case .reader(let problem, _, _, _):
        return ConfigurationError(at: nil, found: "no YAML: \(problem)", accepted: "one document")
    default:
        return ConfigurationError(at: nil, found: "no YAML: \(error)", accepted: "one document")
    }
}

/// Where the thing began that is wrong further down, if that helps to find it.
private func beginning(of context: YamlError.Context, before position: Position) -> String? {
    let begun = Position(context.mark)
    // Of a second document Yams says where the first begins: nothing to look for.
    guard begun.line < position.line, !context.text.contains("single document") else { return nil }
    return " in what begins in line \(begun.line)"
}

private typealias Words = (found: String, accepted: String)

private func words(for problem: String, at character: Unicode.Scalar?) -> Words {
    if problem == "found character that cannot start any token", let character, character != "\t" {
        return ("\(shown(String(character))) before a text", "such a text in quotes")
    }
    // `::1` in a list or mapping of one line: YAML takes the colon for one behind a key.
    if character == ":",
        ["did not find expected node content", "found unexpected ':'"].contains(problem)
    {
        return (
            "a \":\" without a key", "an IPv6 address in quotes, like \"2001:db8::1\""
        )
    }
    return explanations[problem] ?? ("no YAML: \(problem)", "one document")
}

private let tab: Words = ("a tab", "spaces before a key or a value")

/// What libyaml says (`scanner.c`, `parser.c`), and what it means here.
private let explanations: [String: Words] = [
    "found character that cannot start any token": tab,
    "found a tab character that violates indentation": tab,
    "found a tab character where an indentation space is expected": tab,
    "mapping values are not allowed in this context": (
        "a \":\" where no key can be",
        "one key in a line, indented like its neighbours; a text with \": \" in quotes"
    ),
    "did not find expected key": (
        "what is no key of its mapping", "the keys of a mapping indented alike"
    ),
    "did not find expected '-' indicator": (
        "what is no entry of its list", "the entries of a list indented alike, each with \"- \""
    ),
    "block sequence entries are not allowed in this context": (
        "a \"-\" where no list can begin", "a list in the lines below its key"
    ),
    "could not find expected ':'": ("a key without \":\"", "a key, \":\" and a value"),
    "did not find expected ',' or ']'": ("neither \",\" nor \"]\"", "a list like [eth1, eth2]"),
    "did not find expected ',' or '}'": (
        "neither \",\" nor \"}\"", "a mapping like { name: a, address: 192.0.2.1 }"
    ),
    "did not find expected node content": (
        "nothing where a value has to be", "a value, or a list or mapping that is closed"
    ),
    "found unexpected end of stream": (
        "the end of the file inside a text in quotes", "a text with a quote at its end"
    ),
    "found unknown escape character": (
        "an escape that YAML does not know", "a text in single quotes, which have none"
    ),
    "but found another document": (
        "a second document", "one document in a file, without --- in between"
    ),
    "Maximum nesting level reached, set with yaml_set_max_nest_level())": (
        "lists or mappings 1000 deep", "a list or mapping for each level of the configuration"
    ),
    "did not find expected <document start>": (
        "more after the end of the document", "one document, all its keys indented alike"
    ),
]
