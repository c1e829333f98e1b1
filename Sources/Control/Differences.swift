public import Balancing
import Packets

/// What differs between two desired states, in the words of the configuration file.
///
/// Services are the same that have the same name, or else that clients address in the same way;
/// backends that have the same address, or else the same name. The order in which a file lists
/// things is no difference. How many slots and flows are concerned is not said here.
public func differences(
    from before: DesiredState, to after: DesiredState
) -> (fields: [PlanReport.Field], services: [PlanReport.Service]) {
    (
        changed(Settings(of: before), Settings(of: after)),
        serviceDifferences(before.services, after.services)
    )
}

private func serviceDifferences(
    _ before: [Service], _ after: [Service]
) -> [PlanReport.Service] {
    let pairs = Pairs(before, after, by: \.name, else: \.frontend)
    let present = after.indices.compactMap { index in
        guard let former = pairs.former[index] else { return service(.added, after[index]) }
        return difference(before[former], after[index])
    }
    return present + pairs.gone.map { service(.removed, before[$0]) }
}

/// One that comes or goes, with what clients address and all of its backends.
private func service(_ kind: PlanReport.Kind, _ service: Service) -> PlanReport.Service {
    let settings = Settings(identifying: service)
    return PlanReport.Service(
        kind, name: service.name,
        fields: kind == .added
            ? changed(Settings(), settings) : changed(settings, Settings()),
        backends: service.backends.map { backend(kind, $0) })
}

/// Nil: there is none.
private func difference(_ before: Service, _ after: Service) -> PlanReport.Service? {
    guard before != after else { return nil }
    let fields = changed(Settings(of: before), Settings(of: after))
    let pairs = Pairs(before.backends, after.backends, by: \.address, else: \.name)
    let present = after.backends.indices.compactMap { index in
        let own = after.backends[index]
        guard let former = pairs.former[index] else { return backend(.added, own) }
        return difference(before.backends[former], own)
    }
    let backends = present + pairs.gone.map { backend(.removed, before.backends[$0]) }
    let formerName = before.name == after.name ? nil : before.name
    guard !fields.isEmpty || !backends.isEmpty || formerName != nil else { return nil }
    return PlanReport.Service(
        .changed, name: after.name, formerName: formerName, fields: fields, backends: backends)
}

private func backend(_ kind: PlanReport.Kind, _ backend: Backend) -> PlanReport.Backend {
    PlanReport.Backend(kind, name: backend.name, address: "\(backend.address)")
}

/// Nil: there is none.
private func difference(_ before: Backend, _ after: Backend) -> PlanReport.Backend? {
    guard before != after else { return nil }
    let fields = changed(Settings(of: before), Settings(of: after))
    guard !fields.isEmpty else { return nil }
    return PlanReport.Backend(
        .changed, name: after.name, address: "\(after.address)", fields: fields)
}

/// A field for each value that is not on both sides.
private func changed(_ before: Settings, _ after: Settings) -> [PlanReport.Field] {
    let keys = before.keys + after.keys.filter { !before.keys.contains($0) }
    return keys.flatMap { key -> [PlanReport.Field] in
        let (old, new) = (before[key], after[key])
        guard old != new else { return [] }
        let (olds, news) = (Set(old), Set(new))
        let lost = old.filter { !news.contains($0) }
        let gained = new.filter { !olds.contains($0) }
        // One value for another is one change; of lists each entry is.
        if lost.count == 1, gained.count == 1 {
            return [PlanReport.Field(key, before: lost[0], after: gained[0])]
        }
        return lost.map { PlanReport.Field(key, before: $0, after: nil) }
            + gained.map { PlanReport.Field(key, before: nil, after: $0) }
    }
}

/// Which of two lists are the same things: no two of either have the same key.
private struct Pairs {
    /// Where each of the later list was in the earlier one; nil: nowhere.
    private(set) var former: [Int?]
    /// Those of the earlier list that are in the later one no more.
    private(set) var gone: [Int]

    init<Element, First: Hashable, Second: Hashable>(
        _ before: [Element], _ after: [Element], by first: (Element) -> First,
        else second: (Element) -> Second
    ) {
        former = Array(repeating: nil, count: after.count)
        gone = Array(before.indices)
        match(before, after, by: first)
        match(before, after, by: second)
    }

    private mutating func match<Element, Key: Hashable>(
        _ before: [Element], _ after: [Element], by key: (Element) -> Key
    ) {
        var places = Dictionary(
            gone.map { (key(before[$0]), $0) }, uniquingKeysWith: { first, _ in first })
        for index in after.indices where former[index] == nil {
            former[index] = places.removeValue(forKey: key(after[index]))
        }
        let taken = Set(former.compactMap(\.self))
        gone.removeAll { taken.contains($0) }
    }
}
