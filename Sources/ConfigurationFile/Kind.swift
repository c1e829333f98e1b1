/// A kind of value that is written as one text: how it is read, and what to say when it isn't one.
struct Kind<Result> {
    /// What became of a text.
    enum Reading {
        case value(Result)
        /// - Parameters:
        ///   - remark: What is wrong with it, as it reads after the text and a comma.
        ///   - accepted: What is accepted instead, where that is more than the kind itself says.
        ///   - suggestion: The nearest right spelling.
        case refused(remark: String? = nil, accepted: String? = nil, suggestion: String? = nil)
    }

    /// What is accepted, in words.
    let accepted: String
    let read: (_ text: String, _ isQuoted: Bool) -> Reading
}

extension Kind {
    /// Texts for which `read` finds a value.
    static func text(_ accepted: String, _ read: @escaping (String) -> Result?) -> Kind {
        Kind(accepted: accepted) { text, _ in
            read(text).map { .value($0) } ?? .refused()
        }
    }

    /// One of a few words.
    static func word(_ words: [(String, Result)]) -> Kind {
        let names = words.map(\.0)
        return Kind(accepted: names.joined(separator: ", ")) { text, _ in
            if let word = words.first(where: { $0.0 == text }) { return .value(word.1) }
            return .refused(suggestion: nearest(to: text, among: names))
        }
    }
}

extension Kind where Result: FixedWidthInteger {
    /// A whole number of `range`: decimal digits, and no quotes around them.
    static func number(_ range: ClosedRange<Result>) -> Kind {
        let accepted = "a number from \(range.lowerBound) to \(range.upperBound)"
        return Kind(accepted: accepted) { text, isQuoted in
            let isDecimal = text.utf8.allSatisfy { (48...57).contains($0) }
            guard isDecimal, let number = Result(text) else { return .refused() }
            guard range.contains(number) else { return .refused() }
            // YAML 1.1 reads 010 as 8 and YAML 1.2 as 10: nobody should have to know.
            if text.utf8.count > 1, text.hasPrefix("0") {
                return .refused(remark: "which could be octal", suggestion: "\(number)")
            }
            return isQuoted ? .refused(suggestion: "\(number)") : .value(number)
        }
    }
}
