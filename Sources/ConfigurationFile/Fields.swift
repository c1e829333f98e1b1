/// The keys of one mapping, after the unknown ones are sorted out.
struct Fields {
    let path: Path
    let position: Position
    private(set) var values: [String: Value] = [:]
    private(set) var keyPositions: [String: Position] = [:]
    /// Known keys that are there, but spelt wrong: what misses them has been said.
    private(set) var misspelt: Set<String> = []

    init(path: Path, position: Position) {
        self.path = path
        self.position = position
    }

    /// Whether the file has the key, be it spelt wrong.
    func has(_ key: String) -> Bool { values[key] != nil || misspelt.contains(key) }

    mutating func add(_ key: String, at position: Position, _ value: Value) {
        values[key] = value
        keyPositions[key] = position
    }

    mutating func addMisspelt(_ key: String) { misspelt.insert(key) }
}

extension Reader {
    /// The keys of a mapping; reports keys that are unknown or there twice.
    mutating func fields(of value: Value, at path: Path, keys: [String]) -> Fields? {
        guard case .mapping(let entries) = value.content else {
            report(value, at: path, accepted: "a mapping with the keys \(listed(keys))")
            return nil
        }
        var fields = Fields(path: path, position: value.position)
        var unknown: [Value] = []
        for entry in entries {
            guard case .text(let name, _) = entry.key.content, keys.contains(name) else {
                unknown.append(entry.key)
                continue
            }
            if let first = fields.keyPositions[name] {
                report(
                    entry.key.position, path.key(name),
                    found: "the key once more after line \(first.line)", accepted: "each key once")
            } else {
                fields.add(name, at: entry.key.position, entry.value)
            }
        }
        for key in unknown { reportUnknown(key, among: keys, &fields) }
        return fields
    }

    private mutating func reportUnknown(
        _ key: Value, among keys: [String], _ fields: inout Fields
    ) {
        guard case .text(let name, _) = key.content else {
            return report(
                key.position, fields.path, found: "\(key.found) as a key", accepted: listed(keys))
        }
        let missing = keys.filter { !fields.has($0) }
        if name == "<<" {
            // What it would have brought along is not missing.
            for key in missing { fields.addMisspelt(key) }
            return report(
                key.position, fields.path.key(name), found: "a merge key, which is not supported",
                accepted: listed(keys))
        }
        let guess = nearest(to: name, among: missing)
        if let guess { fields.addMisspelt(guess) }
        report(
            key.position, fields.path.key(name), found: "an unknown key", accepted: listed(keys),
            suggestion: guess)
    }

    /// The values of a list, each with its path.
    mutating func elements(
        of value: Value, at path: Path, accepted: String
    ) -> [(value: Value, path: Path)]? {
        guard case .list(let values) = value.content else {
            report(value, at: path, accepted: accepted)
            return nil
        }
        return values.enumerated().map { index, value in
            (value, value.isWholeText ? .root : path.index(index))
        }
    }
}

private func listed(_ keys: [String]) -> String { keys.sorted().joined(separator: ", ") }
