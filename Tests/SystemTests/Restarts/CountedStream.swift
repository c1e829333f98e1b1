import Foundation
import Lab
import Synchronization

/// Datagrams of which each must be answered, sent until somebody says that it is enough.
///
/// Each flow sends its next one when the last was answered: so what is under way at one time fits
/// every queue of the network, and one that is not answered was lost by the balancer.
final class CountedStream: Sendable {
    private let network: Network
    private let target: String
    private let isEnough = Atomic(false)

    /// How many clients send at a time, with how many flows, and how many datagrams a flow.
    private static let clients = 4
    private static let flows = 8
    private static let count = 500

    init(_ network: Network, to target: String) {
        self.network = network
        self.target = target
    }

    /// After this many datagrams at least it ends as soon as it can.
    func end() { isEnough.store(true, ordering: .relaxed) }

    struct Sum {
        var answered = 0
        var failures: [String] = []
    }

    /// Sends at least `count` datagrams, and until ``end()``.
    func send(atLeast count: Int) async throws -> Sum {
        try await withThrowingTaskGroup(of: Sum.self) { group in
            for _ in 0..<Self.clients {
                group.addTask { try await self.sendShare(count / Self.clients) }
            }
            return try await group.reduce(into: Sum()) { sum, share in
                sum.answered += share.answered
                sum.failures += share.failures
            }
        }
    }

    private func sendShare(_ least: Int) async throws -> Sum {
        var sum = Sum()
        while sum.answered < least || !isEnough.load(ordering: .relaxed) {
            let flows = try await network.echo(
                flows: Self.flows, count: Self.count, size: 64, to: target)
            sum.answered += flows.flatMap(\.answers.values).reduce(0, +)
            sum.failures += flows.flatMap(\.failures)
            // Of a flow all answers come from one backend, or it was cut.
            sum.failures += flows.filter { $0.answers.count > 1 }.map { "\($0.answers)" }
            guard sum.failures.isEmpty else { break }
        }
        return sum
    }
}
