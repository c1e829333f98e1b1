import FoundationEssentials

/// What has become of all flows so far; a line of the output of `martlet-lab hold`.
struct HoldReport: Codable, Hashable, Sendable {
    /// Which command of the input it answers, counted from 1.
    var command = 0
    /// Seconds since the program began.
    var seconds = 0.0
    /// Flows whose backend has answered at least once, since the program began.
    var opened = 0
    /// Flows that were closed by a command and came to a good end.
    var closed = 0
    /// How many flows are open now, by backend.
    var open: [String: Int] = [:]
    /// Flows that were established and are broken.
    var broken: [Loss] = []
    /// Flows that were never established.
    var failed: [Loss] = []
    /// How many records were answered.
    var answers = 0

    /// Flows that were lost in the same way.
    struct Loss: Codable, Hashable, Sendable {
        /// Nil: none has answered.
        var backend: String?
        var reason: String
        var count = 0
        /// When the first and the last of them were lost, in seconds since the program began.
        var first = 0.0
        var last = 0.0
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}

extension [HoldReport.Loss] {
    /// Counts one more flow.
    mutating func add(_ backend: String?, _ reason: String, at seconds: Double) {
        let known = firstIndex { $0.backend == backend && $0.reason == reason }
        if known == nil {
            append(.init(backend: backend, reason: reason, first: seconds))
        }
        let index = known ?? endIndex - 1
        self[index].count += 1
        self[index].last = seconds
    }
}
