/// Sets right the numbers of open flows, which the program keeps by additions.
///
/// Some are lost, above all when the program is replaced or a flow just falls silent. A number that
/// moves while the flows are counted can't be compared with what was counted, as nobody knows
/// which of the moves the count has seen: but an error stays, where such differences come and go.
package struct Recount: Sendable {
    /// What is to be done with the number of one backend.
    package enum Correction: Hashable, Sendable {
        case none
        /// If the first is still there.
        case replace(UInt32, with: UInt32)
        case add(Int32)
    }

    /// Sweeps in a row in which a number differed in the same direction.
    private struct Trend {
        var sweeps: Int
        /// The least difference among them.
        var least: Int32
    }

    private var trends: [Int: Trend] = [:]
    private static let patience = 3

    package init() {}

    /// - Parameters:
    ///   - before: What the program had counted before the sweep, less what the sweep removed.
    ///   - after: The same after it.
    ///   - counted: What the sweep counted.
    package mutating func correction(
        of backend: Int, before: UInt32, after: UInt32, counted: UInt32
    ) -> Correction {
        if before == after {
            trends[backend] = nil
            return counted == after ? .none : .replace(after, with: counted)
        }
        // Modulo 2^32, as the program adds: less than nothing is a little below 2^32.
        let differences = [before, after].map { Int32(bitPattern: counted &- $0) }
        guard let least = least(of: differences) else {
            trends[backend] = nil
            return .none
        }
        var trend = trends[backend] ?? Trend(sweeps: 0, least: least)
        if trend.least.signum() != least.signum() { trend = Trend(sweeps: 0, least: least) }
        trend.sweeps += 1
        if least.magnitude < trend.least.magnitude { trend.least = least }
        guard trend.sweeps >= Self.patience else {
            trends[backend] = trend
            return .none
        }
        trends[backend] = nil
        return .add(trend.least)
    }

    /// Forgets what it knows of all backends but these.
    package mutating func keep(only backends: (Int) -> Bool) {
        trends = trends.filter { backends($0.key) }
    }
}

/// The one nearest to 0; nil if they do not have the same sign.
private func least(of differences: [Int32]) -> Int32? {
    guard let least = differences.min(by: { $0.magnitude < $1.magnitude }), least != 0,
        differences.allSatisfy({ $0.signum() == least.signum() })
    else { return nil }
    return least
}
