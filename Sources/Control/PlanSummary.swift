/// What a plan does, in a line: `1 service added, web: 2 backends removed, weight of server-a
/// 1 → 3`.
///
/// At most 200 letters and a few: what finds no room is counted.
public func summary(of plan: PlanReport) -> String {
    let phrases = phrases(of: plan)
    guard !phrases.isEmpty else { return "nothing changed" }
    var line = ""
    for (index, phrase) in phrases.enumerated() {
        let longer = line.isEmpty ? phrase : "\(line), \(phrase)"
        guard longer.count <= longestSummary else {
            let rest = phrases.count - index
            return "\(line), and \(rest) more \(rest == 1 ? "change" : "changes")"
        }
        line = longer
    }
    return line
}

private let longestSummary = 200
/// Of a value, a name or a key: so even two of them and words around leave room.
private let longestWord = 40

private func phrases(of plan: PlanReport) -> [String] {
    var phrases = plan.fields.map(words)
    for kind in [PlanReport.Kind.added, .removed] {
        let names = plan.services.filter { $0.kind == kind }.map(\.name)
        if names.count == 1 { phrases.append("service \(short(names[0])) \(kind.rawValue)") }
        if names.count > 1 { phrases.append("\(names.count) services \(kind.rawValue)") }
    }
    for service in plan.services where service.kind == .changed {
        // The name stands once, before the first of what follows it.
        let own = phrasesOfChanged(service)
        phrases += own.prefix(1).map { "\(short(service.name)): \($0)" } + own.dropFirst()
    }
    switch plan.dropped.count {
    case 0: break
    case 1: phrases.append("an order falls away")
    case let count: phrases.append("\(count) orders fall away")
    }
    return phrases
}

private func phrasesOfChanged(_ service: PlanReport.Service) -> [String] {
    var phrases = service.formerName.map { ["was called \(short($0))"] } ?? []
    phrases += service.fields.map(words)
    for kind in [PlanReport.Kind.added, .removed] {
        let names = service.backends.filter { $0.kind == kind }.map(\.name)
        if names.count == 1 { phrases.append("backend \(short(names[0])) \(kind.rawValue)") }
        if names.count > 1 { phrases.append("\(names.count) backends \(kind.rawValue)") }
    }
    for backend in service.backends where backend.kind == .changed {
        phrases += backend.fields.map { words($0, of: backend.name) }
    }
    return phrases
}

/// `weight of server-a 1 → 3`, `slow-start 30s added`
private func words(_ field: PlanReport.Field, of owner: String?) -> String {
    let key = owner.map { "\(field.key) of \(short($0))" } ?? field.key
    switch (field.before, field.after) {
    case (let before?, let after?): return "\(key) \(short(before)) → \(short(after))"
    case (let before?, nil): return "\(key) \(short(before)) removed"
    case (nil, let after?): return "\(key) \(short(after)) added"
    case (nil, nil): return key
    }
}

private func words(_ field: PlanReport.Field) -> String { words(field, of: nil) }

private func short(_ text: String) -> String {
    text.count > longestWord ? "\(text.prefix(longestWord - 1))…" : text
}
