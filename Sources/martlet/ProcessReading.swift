import BPF
import FoundationEssentials
import PrometheusMetrics
import XDPPlane

/// What this process tells of itself in its metrics.
struct ProcessReading: Sendable {
    let started: Date
    let attachments: Attachments

    /// A program that can't be asked has no counts: the rest is worth telling all the same.
    func facts() -> ProcessFacts {
        let runs = (try? attachments.programRuns()) ?? nil
        return ProcessFacts(
            version: version, started: started,
            programs: runs.map {
                [.init(name: "martlet", count: $0.count, nanoseconds: $0.nanoseconds)]
            } ?? [])
    }
}
