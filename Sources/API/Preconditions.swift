import HTTPTypes

/// At which generations a change may be made: `If-Match`, RFC 9110, 13.1.1.
enum Precondition: Hashable, Sendable {
    /// At any.
    case none
    /// At one of those with these tags.
    case tags(Set<String>)

    /// - Throws: ``ProblemAnswer`` for what is no list of entity tags.
    init(_ fields: HTTPFields) throws(ProblemAnswer) {
        let lines = fields[values: .ifMatch]
        guard !lines.isEmpty else {
            self = .none
            return
        }
        // As if they were one: RFC 9110, 5.3.
        let text = lines.joined(separator: ",")
        if text.trimmed == "*" {
            self = .none
            return
        }
        guard let tags = strongTags(of: text) else {
            throw ProblemAnswer([
                Problem.Mistake(
                    path: "header.If-Match", found: quoted(text),
                    accepted: #"generations in quotes, like "7", "8", or *"#)
            ])
        }
        self = .tags(tags)
    }

    /// The generation at which the change is to be made; nil: at whichever counts then.
    ///
    /// - Throws: ``ProblemAnswer`` if `present` is none of those that it may be made at.
    func generation(at present: Int) throws(ProblemAnswer) -> Int? {
        guard case .tags(let tags) = self else { return nil }
        guard tags.contains("\(present)") else { throw .stale("generation \(present) counts now") }
        return present
    }
}

/// The entity tags of a list, but for weak ones, which match nothing here; nil: it is no list of
/// such. RFC 9110, 8.8.3.
///
/// Empty elements are allowed, and so is a list of nothing, which nothing matches (5.6.1). It is
/// read once, from left to right, however long it is.
private func strongTags(of text: String) -> Set<String>? {
    var tags: Set<String> = []
    var rest = text.unicodeScalars[...]
    while true {
        rest = rest.drop { $0 == " " || $0 == "\t" || $0 == "," }
        guard !rest.isEmpty else { return tags }
        let isWeak = rest.starts(with: "W/".unicodeScalars)
        rest = isWeak ? rest.dropFirst(2) : rest
        guard rest.popFirst() == "\"" else { return nil }
        let tag = rest.prefix { $0 != "\"" && $0.value > 0x20 && $0.value != 0x7f }
        rest = rest[tag.endIndex...]
        guard rest.popFirst() == "\"" else { return nil }
        if !isWeak { tags.insert(String(tag)) }
        rest = rest.drop { $0 == " " || $0 == "\t" }
        guard rest.isEmpty || rest.first == "," else { return nil }
    }
}

extension String {
    /// Without spaces and tabs around it.
    fileprivate var trimmed: Substring {
        let start = drop { $0 == " " || $0 == "\t" }
        return start.lastIndex { $0 != " " && $0 != "\t" }.map { start[...$0] } ?? ""
    }
}

extension ProblemAnswer {
    static func stale(_ words: String) -> ProblemAnswer {
        var answer = ProblemAnswer(
            .preconditionFailed,
            "\(words), which is none of If-Match\n  look at what it is, and ask again")
        answer.problem.type = "urn:martlet:problem:stale"
        return answer
    }
}

extension Operation {
    /// Whether it makes a difference at which generation.
    var isConditional: Bool { method != .get }
}
