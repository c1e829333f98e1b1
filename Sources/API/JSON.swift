import Logs

/// A JSON value: what an order is checked as, and what the API's description is made of.
indirect enum JSON: Hashable, Sendable {
    case null
    case boolean(Bool)
    case number(Double)
    /// A number that is whole and fits.
    case integer(Int)
    case text(String)
    case list([JSON])
    case object([String: JSON])

    /// As it reads after "found".
    var shown: String {
        switch self {
        case .null: "null"
        case .boolean(let value): "\(value)"
        case .number(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .text(let value): quoted(value)
        case .list: "a list"
        case .object: "an object"
        }
    }
}

/// So that schemas read like the JSON that they become.
extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    init(stringLiteral value: String) { self = .text(value) }
    init(integerLiteral value: Int) { self = .integer(value) }
    init(booleanLiteral value: Bool) { self = .boolean(value) }
    init(arrayLiteral elements: JSON...) { self = .list(elements) }
    init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(Dictionary(uniqueKeysWithValues: elements))
    }
}

extension JSON: Encodable {
    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .boolean(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .text(let value): try container.encode(value)
        case .list(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}

/// What somebody sent, short and in one line, for the text of a refusal.
func quoted(_ text: String) -> String {
    let most = 64
    let start = text.unicodeScalars.prefix(most).map { scalar in
        mustNotBeSeen(scalar) ? "\u{fffd}" : String(scalar)
    }.joined()
    return "\"\(start)\"" + (text.unicodeScalars.count > most ? " and more" : "")
}
