import Control

/// What a plan would go to.
enum PlanTarget {
    /// As sentences name it: `martlet.yaml`.
    case file(String)
    case generation(Int)

    fileprivate func heading(_ plan: PlanReport) -> String {
        switch self {
        case .file(let name): "\(name) would change generation \(plan.generation):"
        case .generation(let number): "going back to generation \(number) would change:"
        }
    }

    fileprivate func remark(_ plan: PlanReport) -> String {
        let same = "nothing would change: generation \(plan.generation)"
        return switch self {
        case .file(let name): "\(same) is what \(name) says"
        case .generation(let number): "\(same) is what generation \(number) was"
        }
    }
}

/// The text of `martlet plan`: what would change, a line for each thing, and what that does to
/// slots and flows.
func text(_ plan: PlanReport, to target: PlanTarget, on paper: Paper = Paper()) -> String {
    guard !plan.isEmpty else { return target.remark(plan) }
    let lines =
        plan.changesNothing
        ? [StyledText(target.remark(plan) + ", but for this:"), ""] + fallingAway(plan)
        : changes(plan, to: target, paper)
    return lines.map { $0.rendered(isColoured: paper.isColoured) }.joined(separator: "\n")
}

private func changes(
    _ plan: PlanReport, to target: PlanTarget, _ paper: Paper
) -> [StyledText] {
    var lines: [StyledText] = [StyledText(target.heading(plan), .heading), ""]
    if !plan.fields.isEmpty {
        lines += difference(mark(.changed) + "node", plan.fields, paper)
    }
    for service in plan.services { lines += differences(service, paper) }
    if !plan.dropped.isEmpty { lines += [""] + fallingAway(plan) }
    return lines + [""] + consequences(plan)
}

/// What was ordered over the API, and would not be there any more.
private func fallingAway(_ plan: PlanReport) -> [StyledText] {
    let heading = plan.dropped.count == 1 ? "an order falls away:" : "orders fall away:"
    return [StyledText(heading, .caution)] + plan.dropped.map { StyledText("  \($0)") }
}

/// How to have exactly that plan carried out, in one line.
func applyHint(_ plan: PlanReport, file: String) -> String {
    "to do exactly this: martlet apply \(shellWord(file)) --plan \(shellWord(plan.token))"
}

private func differences(_ service: PlanReport.Service, _ paper: Paper) -> [StyledText] {
    var lines: [StyledText] = []
    if service.kind != .changed || !service.fields.isEmpty || service.formerName != nil {
        let former = service.formerName.map { "  (was \($0))" } ?? ""
        lines += difference(
            mark(service.kind) + "service \(service.name)\(former)", service.fields, paper)
    }
    for backend in service.backends {
        let address = backend.address.isEmpty ? "" : "  \(backend.address)"
        lines += difference(
            mark(backend.kind) + "backend \(service.name)/\(backend.name)\(address)",
            backend.fields, paper)
    }
    return lines
}

/// A thing and what becomes of its keys: beside it, or below it if they don't fit.
private func difference(
    _ thing: StyledText, _ fields: [PlanReport.Field], _ paper: Paper
) -> [StyledText] {
    let changes = fields.map { words($0, paper) }
    let line = thing + changes.map { "  \($0)" }.joined()
    return line.count <= paper.width ? [line] : [thing] + changes.map { StyledText("    \($0)") }
}

private func mark(_ kind: PlanReport.Kind) -> StyledText {
    switch kind {
    case .added: StyledText("+ ", .good)
    case .removed: StyledText("- ", .bad)
    case .changed: StyledText("~ ", .caution)
    }
}

/// `weight 2 → 3`; `port 80`, where that has not been there; `port 80 → none`, where it goes.
private func words(_ field: PlanReport.Field, _ paper: Paper) -> String {
    switch (field.before, field.after) {
    case (let before?, let after): "\(field.key) \(before) \(paper.arrow) \(after ?? "none")"
    case (nil, let after): "\(field.key) \(after ?? "")"
    }
}

/// How many slots and flows it touches: in all, and service by service where there are several.
private func consequences(_ plan: PlanReport) -> [StyledText] {
    let moving = plan.services.filter { $0.slots.moved > 0 }
    let touched = plan.services.filter(\.flows.isTouched)
    var lines = [StyledText("slots: \(words(plan.slots))")]
    if moving.count > 1 {
        lines += moving.map { StyledText("  \($0.name): \(words($0.slots))") }
    }
    lines.append(StyledText("flows: ") + words(plan.flows))
    if touched.count > 1 {
        lines += touched.map { StyledText("  \($0.name): ") + words($0.flows) }
    }
    if plan.flows.breaks { lines.append(StyledText(warning(plan.flows), .bad)) }
    return lines
}

private func warning(_ flows: PlanReport.Flows) -> String {
    switch (flows.break, flows.breaksUncounted) {
    case (0, _): "WARNING: open flows break; nobody has counted how many"
    case (1, false): "WARNING: 1 open flow breaks"
    case (let count, false): "WARNING: \(count) open flows break"
    case (let count, true): "WARNING: more than \(count - 1) open flows break"
    }
}

private func words(_ slots: PlanReport.Slots) -> String {
    slots.moved == 0
        ? "none moves" : "\(slots.moved) of \(slots.count) move (\(percentage(slots.share)))"
}

private func words(_ flows: PlanReport.Flows) -> StyledText {
    let text = StyledText("\(flows.stay) stay, \(flows.move) move, ")
    let more = flows.breaksUncounted ? " and some uncounted" : ""
    return text + StyledText("\(flows.break)\(more) break", flows.breaks ? .bad : .plain)
}

extension PlanReport.Flows {
    fileprivate var breaks: Bool { self.break > 0 || breaksUncounted }
    fileprivate var isTouched: Bool { move > 0 || breaks }
}
