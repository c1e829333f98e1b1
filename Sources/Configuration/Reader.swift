import Yams

/// A place in the document: the node that stands there and how it is reached.
struct Place {
    let node: Node
    let path: String

    /// The place under `key` of this mapping.
    func child(_ key: String, _ node: Node) -> Place {
        Place(node: node, path: path.isEmpty ? key : "\(path).\(key)")
    }

    /// The place at `index` of this list.
    func element(_ index: Int, _ node: Node) -> Place {
        Place(node: node, path: "\(path)[\(index)]")
    }

    /// What stands here, in words.
    var found: String {
        switch node {
        case .scalar(let scalar):
            if scalar.string.isEmpty && scalar.style == .plain { return "nothing" }
            let text = scalar.string
            return "\"\(text.count <= 64 ? text : "\(text.prefix(64))…")\""
        case .mapping: return "a mapping"
        case .sequence: return "a list"
        case .alias: return "an alias"
        }
    }
}

/// Reads places and collects what is wrong, so that all of it can be said at once.
struct Reader {
    private(set) var errors: [ConfigurationError] = []

    mutating func refuse(_ place: Place, found: String? = nil, accepted: String) {
        errors.append(
            ConfigurationError(
                line: place.node.mark?.line ?? 0, column: place.node.mark?.column ?? 0,
                path: place.path, found: found ?? place.found, accepted: accepted))
    }

    /// The places under the known keys of a mapping; unknown and missing ones are refused.
    mutating func mapping(
        _ place: Place, known: [String], required: [String]
    ) -> [String: Place]? {
        guard case .mapping(let mapping) = place.node else {
            refuse(place, accepted: "a mapping with the keys \(known.joined(separator: ", "))")
            return nil
        }
        var children: [String: Place] = [:]
        for (key, value) in mapping {
            guard case .scalar(let scalar) = key, known.contains(scalar.string) else {
                let child = place.child(key.scalar?.string ?? "?", key)
                let name = key.scalar?.string ?? ""
                let guess = nearest(to: name, among: known).map { " (did you mean \($0)?)" } ?? ""
                refuse(
                    child, found: "an unknown key",
                    accepted: known.sorted().joined(separator: ", ") + guess)
                continue
            }
            children[scalar.string] = place.child(scalar.string, value)
        }
        for key in required where children[key] == nil {
            refuse(place, found: "no key \(key)", accepted: "a mapping with it")
        }
        return children
    }

    /// The places of a list's elements.
    mutating func list(_ place: Place, of what: String, counts: ClosedRange<Int>) -> [Place]? {
        guard case .sequence(let sequence) = place.node else {
            refuse(place, accepted: "a list of \(what)")
            return nil
        }
        guard counts.contains(sequence.count) else {
            refuse(
                place, found: "\(sequence.count) entries",
                accepted: "\(counts.lowerBound) to \(counts.upperBound) \(what)")
            return nil
        }
        return sequence.enumerated().map { place.element($0.offset, $0.element) }
    }

    /// What `read` makes of the text of a scalar; refused if that is nil.
    mutating func scalar<Value>(
        _ place: Place?, accepted: String, _ read: (String) -> Value?
    ) -> Value? {
        guard let place else { return nil }
        guard case .scalar(let scalar) = place.node, let value = read(scalar.string) else {
            refuse(place, accepted: accepted)
            return nil
        }
        return value
    }

    /// A whole number of `range`, in decimal.
    mutating func number(_ place: Place?, in range: ClosedRange<Int>) -> Int? {
        scalar(place, accepted: "a whole number from \(range.lowerBound) to \(range.upperBound)") {
            text in Int(text).flatMap { range.contains($0) && text == "\($0)" ? $0 : nil }
        }
    }

    /// One of a few words.
    mutating func word<Value>(_ place: Place?, among words: [(String, Value)]) -> Value? {
        let names = words.map(\.0)
        guard let place else { return nil }
        let text = place.node.scalar?.string ?? ""
        let guess = nearest(to: text, among: names).map { " (did you mean \($0)?)" } ?? ""
        return scalar(place, accepted: names.joined(separator: ", ") + guess) { text in
            words.first { $0.0 == text }?.1
        }
    }

    /// Refuses the second of two places with the same value.
    mutating func unique<Value: Hashable>(
        _ places: [(value: Value, place: Place)], _ what: String
    ) {
        var first: [Value: Place] = [:]
        for (value, place) in places {
            if let known = first[value] {
                refuse(
                    place,
                    found: "\(what) \(value) again, after line \(known.node.mark?.line ?? 0)",
                    accepted: "each \(what) once")
            } else {
                first[value] = place
            }
        }
    }
}

/// The word that `text` is a slip of the pen away from, if there is one.
func nearest(to text: String, among words: [String]) -> String? {
    guard !text.isEmpty, text.count <= 32 else { return nil }
    let close = words.map { (word: $0, distance: editDistance($0, text)) }
        .filter { (1...2).contains($0.distance) && $0.distance < $0.word.count }
    return close.min { $0.distance < $1.distance }?.word
}

/// How many letters must be added, removed or replaced (Levenshtein).
private func editDistance(_ left: String, _ right: String) -> Int {
    let right = Array(right)
    var row = Array(0...right.count)
    for (index, letter) in left.enumerated() {
        var diagonal = row[0]
        row[0] = index + 1
        for column in right.indices {
            let cost = min(
                row[column] + 1, row[column + 1] + 1, diagonal + (right[column] == letter ? 0 : 1))
            diagonal = row[column + 1]
            row[column + 1] = cost
        }
    }
    return row[right.count]
}
