import API
public import ArgumentParser
public import Balancing
import Control

/// `martlet flows`
struct FlowsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flows",
        abstract: "List the flows that are recorded.",
        discussion: """
            Recorded are those that are not where their hash says, those of services that track \
            theirs, and all of full-nat; docs/consistency.md has why. Most are known by a \
            fingerprint alone: only those of full-nat have a client's address.

            JSON is one object, {"flows": […], "next": …}, where next is there if more are \
            recorded.

            Examples:
              martlet flows --backend web/server-b
              martlet flows --state half-open --all --json | jq '.flows | length'

            Exit status: 0 shown, 1 no controller answers or there is no such backend, 64 wrong \
            usage.
            """)

    @Option(help: "Of this service alone.", completion: .services)
    var service: String?
    @Option(
        help: ArgumentHelp("Of this backend alone.", valueName: "service/backend"),
        completion: .backends, transform: backendReference)
    var backend: BackendReference?
    @Option(help: "In this state alone.")
    var state: RecordedFlow.State?
    @Option(help: ArgumentHelp("So many at most.", valueName: "number"))
    var limit = 100
    @Flag(help: "All of them, however many.")
    var all = false
    @OptionGroup var show: ShowOptions
    @OptionGroup var controller: ControllerOptions

    func validate() throws {
        if all, show.watch { throw ValidationError("--watch shows a page: --limit says how long") }
        guard limit > 0 else { throw ValidationError("--limit takes a number from 1 on") }
        if let service, let backend, backend.service != service {
            throw ValidationError("\(backend) is no backend of \(service)")
        }
    }

    func run() async throws {
        do {
            try await show.watch ? watch() : list()
        } catch {
            throw refused(error)
        }
    }

    private var output: OutputOptions { show.output }

    private var filter: FlowFilter {
        FlowFilter(
            service: backend?.service ?? service, backend: backend?.backend,
            state: state?.rawValue)
    }

    private func watch() async throws {
        try await show.show({ try await page() }, text: { text($0.flows, on: $1) })
    }

    /// The first of them.
    private func page() async throws -> FlowPage {
        let client = controller.client
        var (whole, filter) = (FlowPage(flows: [], next: 0), filter)
        while let cursor = whole.next, whole.flows.count < limit {
            filter.cursor = cursor
            filter.limit = min(FlowFilter.mostFlows, limit - whole.flows.count)
            let page = try await client.flows(filter)
            whole = FlowPage(flows: whole.flows + page.flows, next: page.next)
        }
        return whole
    }

    /// Part by part: nobody waits for the last of a million to see the first.
    ///
    /// A page may have few flows, or none, though more come: people see them together.
    private func list() async throws {
        let client = controller.client
        var filter = filter
        var (found, shown, next) = ([FlowPage.Flow](), 0, UInt64?.some(0))
        while let cursor = next, all || shown + found.count < limit {
            filter.cursor = cursor
            let rest = all ? FlowFilter.mostFlows : limit - shown - found.count
            filter.limit = min(FlowFilter.mostFlows, rest)
            let page = try await client.flows(filter)
            if output.json, cursor == 0 { _ = printWhole("{\"flows\":[") }
            next = page.next
            found += page.flows
            guard found.count >= FlowFilter.mostFlows else { continue }
            guard try tell(found, after: shown) else { return }
            shown += found.count
            found = []
        }
        guard try found.isEmpty || tell(found, after: shown) else { return }
        shown += found.count
        guard !output.json else {
            _ = printWhole("\n]" + (next.map { ",\"next\":\($0)" } ?? "") + "}\n")
            return
        }
        if shown == 0 { print(text([FlowPage.Flow](), on: output.paper)) }
        if next != nil { print("\nmore are recorded: --all shows them, --limit so many") }
    }

    /// Says whether somebody still reads.
    private func tell(_ flows: [FlowPage.Flow], after count: Int) throws -> Bool {
        guard output.json else { return printWhole(text(flows, on: output.paper) + "\n") }
        let lines = try flows.map { try "\n" + jsonText($0, isLine: true) }
        return printWhole((count > 0 ? "," : "") + lines.joined(separator: ","))
    }
}

extension RecordedFlow.State: ExpressibleByArgument {}
