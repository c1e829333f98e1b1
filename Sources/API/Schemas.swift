import Balancing
import Control

extension Schema {
    /// Every value of the API that has a name.
    static let named: [String: Schema] = [
        "Status": status, "Service": service, "Backend": backend, "Traffic": traffic,
        "Way": way, "Drain": drain, "Maintenance": maintenance,
        "BackendHealth": backendHealth, "BackendOrders": backendOrders,
        "CountersReport": countersReport, "FlowPage": flowPage, "Explanation": explanation,
        "Exclusion": exclusion, "Event": event, "Generation": generation, "Layers": layers,
        "PlanReport": planReport, "PlanField": planField, "PlanSlots": planSlots,
        "PlanFlows": planFlows, "Problem": problem,
        "DrainOrder": drainOrder, "MaintenanceOrder": maintenanceOrder,
        "WeightOrder": weightOrder, "RollbackOrder": rollbackOrder,
    ]

    private static func choice<Word: CaseIterable & RawRepresentable>(
        _ words: Word.Type
    ) -> Schema where Word.RawValue == String { .choice(words.allCases.map(\.rawValue)) }

    // MARK: Orders

    private static let drainOrder = Schema.object([
        optional("deadline", date, "When the flows that are left are cut; without it: never."),
        optional("isForced", .boolean, "Whether it may be the last backend that serves."),
    ])

    private static let maintenanceOrder = Schema.object([
        optional("reason", line(1...256), "For those who look at the status."),
        optional("isForced", .boolean, "Whether it may be the last backend that serves."),
    ])

    private static let weightOrder = Schema.object([
        required("weight", .integer(0...Int(UInt16.max)), "Instead of the file's.")
    ])

    private static let rollbackOrder = Schema.object([
        optional("generation", .integer(1...exact), "Without it: the one before the present one.")
    ])

    // MARK: Status

    private static let status = Schema.object([
        required("taken", date),
        optional("interval", .amount, "Over how many seconds the rates are."),
        required(
            "interfaces",
            .list(
                .object([
                    required("name", text), optional("mode", text), optional("program", count),
                    optional("obstacle", text, "Why the program does not run there."),
                ]))),
        required("services", .list(.reference("Service"))),
        required(
            "flowTable",
            .object([
                required("entries", count), required("capacity", count),
                required(
                    "events",
                    .object([
                        required("made", count), required("refused", count),
                        required("evicted", count), required("frozen", count),
                    ])),
                required("isFrozen", .boolean),
                required("states", flowStates, "Recorded flows, those of full-nat too."),
            ])),
        required("configuration", configuration),
    ])

    private static let flowStates = Schema.object(
        ["halfOpen", "established", "closing", "datagrams", "affinity"].map { required($0, count) })

    private static let configuration = Schema.object([
        required("generation", count), optional("applied", date), optional("by", text),
        optional("cause", text),
        optional("refusal", text, "Why the last change that was asked for was refused."),
        optional("refused", date), required("refusals", count),
        optional("applySeconds", .amount), required("tablesBuilt", count),
    ])

    private static let service = Schema.object([
        required("name", text), required("vip", text), required("ports", text),
        required("transport", .choice(Transport.allCases.map(\.name))),
        required("scheduler", choice(Scheduler.self)),
        required("forwarding", choice(Forwarding.self)),
        required("slots", count),
        required("slotsWithoutOwner", count, "Packets for these are dropped."),
        required("moving", count), required("pinning", count), required("pinned", count),
        required("isPanicking", .boolean, "Whether the health of its backends is ignored."),
        required("usesBackup", .boolean),
        required("traffic", .reference("Traffic"), "What arrived for it."),
        required("backends", .list(.reference("Backend"))),
        optional("refusal", text, "Why the data path is not up to date with this."),
        required("key", text, "As in the counters: 192.168.1.100:80/tcp."),
    ])

    private static let backend = Schema.object([
        required("name", text), required("address", text),
        optional("port", .integer(0...65535)), required("weight", .integer(0...65535)),
        optional("weightOfFile", .integer(0...65535), "If the weight is another one."),
        required(
            "health",
            .object([
                required("state", .choice(["unknown", "up", "down"])), required("reason", text),
                required("since", date),
            ])),
        required("way", .reference("Way")), required("slots", count), required("share", .share),
        required("readiness", .share, "How much of its share of new flows it is given by now."),
        optional("flows", count, "Open ones; missing: they are not recorded."),
        optional("maxConnections", count), optional("latency", count, "In microseconds."),
        required("isBackup", .boolean), required("isLeaving", .boolean),
        optional("drain", .reference("Drain")),
        optional("maintenance", .reference("Maintenance")),
        required("traffic", .reference("Traffic"), "What was forwarded to it."),
    ])

    private static let traffic = Schema.object([
        required("packets", count), required("bytes", count),
        required("flows", count, "New ones, as far as they can be told."),
        optional("packetsPerSecond", .amount), optional("bitsPerSecond", .amount),
    ])

    private static let way = Schema.object([
        optional("interface", text), optional("neighbour", text, "A MAC address."),
        optional("obstacle", text, "Why it can't be reached."),
    ])

    private static let drain = Schema.object([
        required("since", date), optional("deadline", date), optional("cut", count),
        optional("flowsLeft", count), optional("secondsLeft", .amount),
        required("isOver", .boolean),
    ])

    private static let maintenance = Schema.object([
        required("since", date), optional("reason", text), required("by", text),
    ])

    private static let backendHealth = Schema.object([
        required("service", text), required("backend", text), required("address", text),
        required("state", .choice(["unknown", "up", "down"])), required("reason", text),
        required("since", date), optional("latency", count, "In microseconds."),
        required("way", .reference("Way")),
    ])

    private static let backendOrders = Schema.object([
        required("service", text), required("backend", text),
        optional("drain", .reference("Drain")),
        optional("maintenance", .reference("Maintenance")),
    ])

    // MARK: Counters and flows

    private static let countersReport = Schema.object([
        required("taken", date), optional("interval", .amount),
        required(
            "verdicts",
            .list(
                .object([
                    required("name", text), required("text", text),
                    required("traffic", .reference("Traffic")),
                ])), "They sum to what was received."),
        required("received", .reference("Traffic")),
        required(
            "services",
            .list(
                .object([
                    required("key", text), optional("name", text),
                    required("traffic", .reference("Traffic")),
                    required("backends", .list(countersOfBackend)),
                ]))),
    ])

    private static let countersOfBackend = Schema.object([
        required("address", text), optional("port", .integer(0...65535)), optional("name", text),
        required("traffic", .reference("Traffic")),
    ])

    private static let flowPage = Schema.object([
        required(
            "flows",
            .list(
                .object([
                    required("service", text), required("backend", text),
                    required("state", choice(RecordedFlow.State.self)), optional("slot", count),
                    required("idle", .amount, "Seconds without a packet, at least."),
                    optional("client", text), optional("nat", text),
                ]))),
        optional("next", count, "The cursor of the next page; missing: this is the last."),
    ])

    // MARK: Why

    private static let explanation = Schema.object([
        required("verdict", text), required("text", text), optional("service", text),
        optional("slot", count), optional("phase", text), optional("owner", text),
        optional("formerOwner", text), optional("pin", text), optional("backend", text),
        optional("forwarding", choice(Forwarding.self)), optional("interface", text),
        optional("neighbour", text), optional("packet", text, "In hexadecimal digits."),
        required(
            "steps",
            .list(
                .object([
                    required("name", text), required("finding", text), optional("reason", text),
                ]))),
        required("isConfirmed", .boolean, "Whether the program itself makes the same of it."),
        optional("contradiction", text),
    ])

    private static let exclusion = Schema.object([
        required("service", text), required("backend", text), required("share", .share),
        required("isOut", .boolean, "Whether it gets no new flows."),
        required("reasons", .list(.object([required("name", text), required("text", text)]))),
    ])

    private static let event = Schema.object([
        required("id", count), required("at", date), required("kind", choice(Event.Kind.self)),
        required("generation", count), optional("service", text), optional("backend", text),
        required("text", text),
    ])

    // MARK: The configuration

    private static let generation = Schema.object([
        required("number", .integer(0...exact)), required("applied", date), required("by", text),
        required("cause", text), required("summary", text),
        optional("layers", .reference("Layers"), "What it is made of; missing in a list."),
    ])

    private static let layers = Schema.object([
        required("text", text, "Of the file."), required("file", text),
        required("services", .map(text)), required("backends", .map(.map(text))),
        required("weights", .map(.map(.integer(0...65535)))),
    ])

    private static let planReport = Schema.object([
        required("generation", count, "The one that it starts from."),
        required("token", text, "Whoever applies with it gets exactly this."),
        required("fields", .list(.reference("PlanField"))),
        required("services", .list(plannedService)),
        required(
            "dropped", .list(text), "What was ordered over the API and falls away, and why."),
        required("slots", .reference("PlanSlots")), required("flows", .reference("PlanFlows")),
    ])

    private static let planField = Schema.object([
        required("key", text), optional("before", text), optional("after", text),
    ])

    private static let planSlots = Schema.object([
        required("moved", count), required("count", count),
    ])

    private static let planFlows = Schema.object([
        required("stay", count), required("move", count), required("break", count),
        required("breaksUncounted", .boolean),
    ])

    private static let plannedService = Schema.object([
        required("kind", choice(PlanReport.Kind.self)), required("name", text),
        optional("formerName", text), required("fields", .list(.reference("PlanField"))),
        required(
            "backends",
            .list(
                .object([
                    required("kind", choice(PlanReport.Kind.self)), required("name", text),
                    required("address", text), required("fields", .list(.reference("PlanField"))),
                ]))),
        required("slots", .reference("PlanSlots")), required("flows", .reference("PlanFlows")),
    ])

    private static let problem = Schema.object([
        required("type", text, "urn:martlet:problem:stale, or about:blank: as the status says."),
        required("title", text), required("status", .integer(400...599)),
        optional("detail", text, "In words, with the cure."), optional("instance", text),
        optional("generation", count, "The one that counts, if another was wanted."),
        optional(
            "errors",
            .list(
                .object([
                    optional("place", text, "Line and column."), required("path", text),
                    required("found", text), required("accepted", text),
                    optional("suggestion", text),
                ]))),
    ])
}
