import Control

/// Flows as `martlet flows` lists them.
func text(_ flows: [FlowPage.Flow], on paper: Paper = Paper()) -> String {
    guard !flows.isEmpty else { return "no such flow is recorded" }
    let hasClients = flows.contains { $0.client != nil }
    var columns: [(String, Table.Alignment)] = [
        ("BACKEND", .left), ("STATE", .left), ("SLOT", .right), ("IDLE", .right),
    ]
    if hasClients { columns += [("CLIENT", .left), ("AS", .left)] }
    var table = Table(columns)
    for flow in flows {
        var cells = [
            "\(flow.service)/\(flow.backend)", flow.state, flow.slot.map { "\($0)" } ?? "-",
            age(of: flow.idle),
        ]
        if hasClients { cells += [flow.client ?? "-", flow.nat ?? "-"] }
        table.add(cells)
    }
    return table.lines(on: paper).joined(separator: "\n")
}
