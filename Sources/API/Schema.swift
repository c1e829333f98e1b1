import Logs

/// What a value may be: told in the API's description, and held against what people send.
///
/// A part of JSON Schema (draft 2020-12, as OpenAPI 3.1 has it): what this API needs.
indirect enum Schema: Hashable, Sendable {
    case boolean
    case integer(ClosedRange<Int>)
    /// Any number that is not below 0.
    case amount
    /// From 0 to 1.
    case share
    case text(TextRule)
    case choice([String])
    case list(Schema)
    /// An object whose members all have such values, whatever their names.
    case map(Schema)
    case object([Member])
    /// An object of which this API knows no more.
    case document
    /// One that has a name: ``Schema/named``.
    case reference(String)

    struct TextRule: Hashable, Sendable {
        /// A regular expression that has one meaning for ECMA-262 and for Swift.
        var pattern: String?
        /// What the pattern says, in words.
        var words = "a text"
        /// In Unicode scalars.
        var length: ClosedRange<Int>?
        var format: String?
    }

    struct Member: Hashable, Sendable {
        var name: String
        var schema: Schema
        var isRequired: Bool
        var summary: String?
    }

    /// Integers that every reader of JSON keeps exact: RFC 8259, section 6.
    static let exact = 1 << 53 - 1
    static let count = Schema.integer(0...exact)
    static let text = Schema.text(TextRule())
    static let date = Schema.text(
        TextRule(words: #"a date and time like "2030-01-31T12:00:00Z""#, format: "date-time"))
    /// In one line, so that it can stand in a log.
    static func line(_ length: ClosedRange<Int>) -> Schema {
        .text(
            TextRule(
                pattern: "^[^\(unseen)]+$",
                words: "\(length.lowerBound) to \(length.upperBound) characters in one line",
                length: length))
    }
    /// The scalars that would break the line, or the terminal that shows it, as a part of a class.
    private static let unseen = unseenScalars.map { range in
        [range.lowerBound, range.upperBound].map { bound in
            let digits = String(bound, radix: 16, uppercase: true)
            return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }.joined(separator: "-")
    }.joined()
    static let name = Schema.text(
        TextRule(
            pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
            words: "1 to 63 ASCII letters, digits, \"-\", \"_\" and \".\", the first a letter "
                + "or digit"))
}

func required(_ name: String, _ schema: Schema, _ summary: String? = nil) -> Schema.Member {
    Schema.Member(name: name, schema: schema, isRequired: true, summary: summary)
}

func optional(_ name: String, _ schema: Schema, _ summary: String? = nil) -> Schema.Member {
    Schema.Member(name: name, schema: schema, isRequired: false, summary: summary)
}

extension Schema {
    /// As JSON Schema writes it.
    var json: JSON {
        switch self {
        case .boolean: ["type": "boolean"]
        case .integer(let range):
            [
                "type": "integer", "minimum": .integer(range.lowerBound),
                "maximum": .integer(range.upperBound),
            ]
        case .amount: ["type": "number", "minimum": 0]
        case .share: ["type": "number", "minimum": 0, "maximum": 1]
        case .text(let rule): .object(rule.json)
        case .choice(let words): ["type": "string", "enum": .list(words.map(JSON.text))]
        case .list(let element): ["type": "array", "items": element.json]
        case .map(let value): ["type": "object", "additionalProperties": value.json]
        case .object(let members): json(of: members)
        case .document: ["type": "object"]
        case .reference(let name): ["$ref": .text("#/components/schemas/\(name)")]
        }
    }

    private func json(of members: [Member]) -> JSON {
        var properties: [String: JSON] = [:]
        for member in members {
            properties[member.name] = member.schema.json(describedAs: member.summary)
        }
        let needed = members.filter(\.isRequired).map { JSON.text($0.name) }
        var schema: [String: JSON] = [
            "type": "object", "additionalProperties": false, "properties": .object(properties),
        ]
        if !needed.isEmpty { schema["required"] = .list(needed) }
        return .object(schema)
    }

    func json(describedAs summary: String?) -> JSON {
        guard let summary, case .object(var fields) = json else { return json }
        fields["description"] = .text(summary)
        return .object(fields)
    }
}

extension Schema.TextRule {
    fileprivate var json: [String: JSON] {
        var fields: [String: JSON] = ["type": "string"]
        if let pattern { fields["pattern"] = .text(pattern) }
        if let format { fields["format"] = .text(format) }
        if let length {
            fields["minLength"] = .integer(length.lowerBound)
            fields["maxLength"] = .integer(length.upperBound)
        }
        return fields
    }

    fileprivate func takes(_ text: String) -> Bool {
        if let length, !length.contains(text.unicodeScalars.count) { return false }
        if format == "date-time", moment(text) == nil { return false }
        guard let pattern else { return true }
        // The patterns are ours, and the tests read each: one that is none takes nothing.
        guard let expression = try? Regex(pattern).matchingSemantics(.unicodeScalar) else {
            return false
        }
        return text.wholeMatch(of: expression) != nil
    }
}

extension Schema {
    /// All that is wrong with `value`, which was sent as `path`.
    func errors(in value: JSON, at path: String) -> [Problem.Mistake] {
        switch (self, value) {
        case (.reference(let name), _):
            return Schema.named[name]?.errors(in: value, at: path) ?? []
        case (.object(let members), .object(let values)):
            return errors(in: values, members, at: path)
        case (.list(let element), .list(let values)):
            return values.enumerated().flatMap { element.errors(in: $1, at: "\(path)[\($0)]") }
        case (.map(let element), .object(let values)):
            return values.sorted { $0.key < $1.key }
                .flatMap { element.errors(in: $1, at: "\(path).\($0)") }
        default:
            if takes(value) { return [] }
            return [Problem.Mistake(path: path, found: value.shown, accepted: words)]
        }
    }

    private func errors(
        in values: [String: JSON], _ members: [Member], at path: String
    ) -> [Problem.Mistake] {
        let names = Set(members.map(\.name))
        let strangers = values.keys.filter { !names.contains($0) }.sorted().map { name in
            Problem.Mistake(
                path: path, found: "an unknown member \(quoted(name))",
                accepted: members.map(\.name).joined(separator: ", "))
        }
        return strangers
            + members.flatMap { member -> [Problem.Mistake] in
                let place = "\(path).\(member.name)"
                guard let value = values[member.name] else {
                    guard member.isRequired else { return [] }
                    return [
                        Problem.Mistake(
                            path: place, found: "nothing", accepted: member.schema.words)
                    ]
                }
                return member.schema.errors(in: value, at: place)
            }
    }

    /// Of what has no parts.
    private func takes(_ value: JSON) -> Bool {
        switch (self, value) {
        case (.boolean, .boolean), (.document, .object): true
        case (.integer(let range), .integer(let number)): range.contains(number)
        case (.amount, .integer(let number)): number >= 0
        case (.amount, .number(let number)): number >= 0
        case (.share, .integer(let number)): (0...1).contains(number)
        case (.share, .number(let number)): (0...1).contains(number)
        case (.text(let rule), .text(let text)): rule.takes(text)
        case (.choice(let words), .text(let text)): words.contains(text)
        default: false
        }
    }

    /// As it reads after "accepted:".
    var words: String {
        switch self {
        case .boolean: "true or false"
        case .integer(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .amount: "a number that is not below 0"
        case .share: "a number from 0 to 1"
        case .text(let rule): rule.words
        case .choice(let words): words.joined(separator: ", ")
        case .list: "a list"
        case .map, .document: "an object"
        case .object(let members):
            "an object"
                + (members.isEmpty
                    ? "" : " with the members " + members.map(\.name).joined(separator: ", "))
        case .reference(let name): Schema.named[name]?.words ?? name
        }
    }
}
