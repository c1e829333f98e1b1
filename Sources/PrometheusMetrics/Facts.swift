import Control
public import FoundationEssentials

/// What all metrics are read from.
///
/// A scrape that has two samples with the same labels is refused as a whole: so whatever has the
/// name of another one is left out here, should there ever be such.
struct Facts: Sendable {
    let status: Status
    let counters: CountersReport
    let process: ProcessFacts
    let interfaces: [Status.Interface]
    let verdicts: [CountersReport.Verdict]
    let services: [Status.Service]
    /// Every backend of every service, with its labels as they are written: they are the most of
    /// the text, and once is enough.
    let backends: [(labels: String, backend: Status.Backend)]

    /// What tells backends apart.
    static let backendLabels = ["service", "backend", "address"]

    init(status: Status, counters: CountersReport, process: ProcessFacts) {
        self.status = status
        self.counters = counters
        self.process = process
        interfaces = firsts(status.interfaces, by: \.name)
        verdicts = firsts(counters.verdicts, by: \.name)
        services = firsts(status.services, by: \.name)
        let all = services.flatMap { service in
            service.backends.map { backend in
                (
                    written(Self.backendLabels, [service.name, backend.name, backend.address]),
                    backend
                )
            }
        }
        backends = firsts(all) { $0.0 }
    }
}

/// The first element with each name.
private func firsts<Element>(
    _ elements: [Element], by name: (Element) -> String
) -> [Element] {
    var known: Set<String> = []
    return elements.filter { known.insert(name($0)).inserted }
}

/// What the controller's process knows of itself, and of the programs it has loaded.
public struct ProcessFacts: Hashable, Sendable {
    /// `0.1.0`
    public var version: String
    /// When the process began.
    public var started: Date
    /// The programs whose runs the kernel counts; empty while it counts none
    /// (`kernel.bpf_stats_enabled`).
    public var programs: [ProgramRuns]

    public init(version: String, started: Date, programs: [ProgramRuns] = []) {
        self.version = version
        self.started = started
        self.programs = programs
    }

    /// How often a program ran, and how long in all.
    public struct ProgramRuns: Hashable, Sendable {
        public var name: String
        public var count: UInt64
        public var nanoseconds: UInt64

        public init(name: String, count: UInt64, nanoseconds: UInt64) {
            self.name = name
            self.count = count
            self.nanoseconds = nanoseconds
        }
    }
}
