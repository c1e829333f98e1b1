import API
import Control
import Foundation

/// What a server is asked, as far as a test has an answer.
struct FakeOperations: Operations {
    struct NoAnswer: Error {}

    var status: @Sendable () async throws -> Control.Status = { throw NoAnswer() }
    var counters: @Sendable () async throws -> CountersReport = { throw NoAnswer() }
    var drain: @Sendable (BackendReference, DrainOrder) async throws -> Void = { _, _ in }
    var undrain: @Sendable (BackendReference) async throws -> Void = { _ in }

    func generation() async -> Int { 1 }
    func status() async throws -> Control.Status { try await status() }
    func counters() async throws -> CountersReport { try await counters() }
    func flows(_ filter: FlowFilter) async throws -> FlowPage { throw NoAnswer() }
    func explain(_ query: ExplainQuery) async throws -> Explanation { throw NoAnswer() }
    func exclusion(of backend: BackendReference) async throws -> Exclusion { throw NoAnswer() }
    func events(after id: UInt64?) async -> AsyncStream<Event> { AsyncStream { $0.finish() } }
    func metrics() async throws -> String { throw NoAnswer() }
    func configuration() async throws -> Generation { throw NoAnswer() }
    func history() async throws -> [Generation] { throw NoAnswer() }
    func generation(_ number: Int) async throws -> Generation { throw NoAnswer() }
    func plan(_ proposal: Proposal) async throws -> PlanReport { throw NoAnswer() }

    func apply(_ proposal: Proposal, _ order: ChangeOrder) async throws -> Generation {
        throw NoAnswer()
    }

    func drain(
        _ backend: BackendReference, _ drain: DrainOrder, _ order: ChangeOrder
    ) async throws { try await self.drain(backend, drain) }

    func undrain(_ backend: BackendReference, _ order: ChangeOrder) async throws {
        try await undrain(backend)
    }

    func maintain(
        _ backend: BackendReference, _ maintenance: MaintenanceOrder?, _ order: ChangeOrder
    ) async throws { throw NoAnswer() }
}
