import API
import Balancing
import Control
import Explain
import PrometheusMetrics
import Scraping
import XDPPlane

/// Answers what people ask: by asking those who know.
struct Desk: Operations {
    let controller: Controller<XDPPlane>
    let keeper: AttachmentKeeper
    let explainer: Explainer
    let process: ProcessReading
    private let scrape = SharedScrape()

    func generation() async -> Int { await controller.generation.number }

    func status() async throws -> Status { try await controller.status(on: keeper.status()) }

    func counters() async throws -> CountersReport { try await controller.counters() }

    func flows(_ filter: FlowFilter) async throws -> FlowPage { try await controller.flows(filter) }

    func explain(_ query: ExplainQuery) async throws -> Explanation {
        try await explainer.explain(
            query, on: try keeper.status().filter { $0.obstacle == nil }.map(\.name),
            names: await controller.names())
    }

    func exclusion(of backend: BackendReference) async throws -> Exclusion {
        try await controller.exclusion(of: backend)
    }

    func events(after id: UInt64?) async -> AsyncStream<Event> {
        controller.events.events(after: id)
    }

    func metrics() async throws -> String {
        try await scrape.text {
            prometheusText(try await status(), try await counters(), process.facts())
        }
    }

    func configuration() async throws -> Generation { await controller.generation }

    func history() async throws -> [Generation] { try await controller.history() }

    func generation(_ number: Int) async throws -> Generation {
        try await controller.generation(number)
    }

    func plan(_ proposal: Proposal) async throws -> PlanReport {
        try await controller.plan(proposal)
    }

    func apply(_ proposal: Proposal, _ order: ChangeOrder) async throws -> Generation {
        try await controller.apply(proposal, order)
    }

    func reload(by requester: Requester) async throws -> Generation {
        try await controller.apply(.reload, ChangeOrder(requester))
    }

    func drain(
        _ backend: BackendReference, _ drain: DrainOrder, _ order: ChangeOrder
    ) async throws {
        try await controller.drain(
            backend, deadline: drain.deadline, isForced: drain.isForced, under: order)
    }

    func undrain(_ backend: BackendReference, _ order: ChangeOrder) async throws {
        try await controller.undrain(backend, under: order)
    }

    func maintain(
        _ backend: BackendReference, _ maintenance: MaintenanceOrder?, _ order: ChangeOrder
    ) async throws {
        guard let maintenance else {
            return try await controller.endMaintenance(of: backend, under: order)
        }
        try await controller.maintain(
            backend, because: maintenance.reason, isForced: maintenance.isForced, under: order)
    }
}
