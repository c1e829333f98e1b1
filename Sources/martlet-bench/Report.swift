import Balancing
import FoundationEssentials

/// What was measured, as a table and as JSON.
struct Report: Encodable {
    /// The middle of an odd number of values, and the outermost ones.
    struct Spread: Encodable {
        let median: Double
        let minimum: Double
        let maximum: Double

        init(_ values: [Double]) {
            let sorted = values.sorted()
            median = sorted[sorted.count / 2]
            minimum = sorted[0]
            maximum = sorted[sorted.count - 1]
        }
    }

    struct Measurement: Encodable {
        let row: Row
        /// For each packet, what makes the packets taken off.
        let nanoseconds: Spread
        /// The MAC swap of the same packet in the same rounds.
        let swapNanoseconds: Spread
        /// The one by the other, round by round.
        let timesSwap: Spread
        /// By what the balancer without tables takes; only where it would write the same.
        let timesPlain: Spread?
    }

    /// Real frames through a veth and back.
    struct Live: Encodable {
        let program: String
        let flows: Int
        let framesPerSecond: Spread
        /// Of what a program reaches that returns every frame as it is, round by round.
        let share: Spread
    }

    /// Work on tables, of which no packet takes part.
    struct Time: Encodable {
        let what: String
        let milliseconds: Spread

        init(_ what: String, _ times: [Duration]) {
            self.what = what
            milliseconds = Spread(times.map { $0 / .milliseconds(1) })
        }
    }

    /// What is counted, not timed.
    struct Figure: Encodable {
        let what: String
        let value: Double
        let unit: String

        init(_ what: String, _ value: Double, _ unit: String) {
            self.what = what
            self.value = value
            self.unit = unit
        }
    }

    let measured = Self.explanation
    let rounds: Int
    let repetitions: Int
    let processor: String
    let kernel: String
    var rows: [Measurement] = []
    var live: [Live] = []
    var times: [Time] = []
    var figures: [Figure] = []

    static let explanation =
        "Each packet is made whole again by a program that then calls the balancer "
        + "(BPF_PROG_TEST_RUN); what that program costs is taken off: it is what a swap of the MAC "
        + "addresses costs more with it than without. The swap is the measure, too; so is, for "
        + "IPv4 ipip, a balancer that reads and writes the same, and looks nothing up. Rounds are "
        + "interleaved; median (minimum to maximum)."
    static let liveExplanation =
        "Frames that a test run sends through a veth to the program, which returns them "
        + "(BPF_F_TEST_XDP_LIVE_FRAMES): frames a second, and the share of what XDP_TX by itself "
        + "reaches in the same round. Sender, veth and receiver are part of both."

    static let timesExplanation =
        "Work of the controller on tables; one thread, one call each time; median (minimum to "
        + "maximum)."

    func table() -> String {
        [packetTable, liveTable, timeTable, figureTable].filter { !$0.isEmpty }
            .map { $0.joined(separator: "\n") }.joined(separator: "\n\n")
    }

    private var packetTable: [String] {
        guard !rows.isEmpty else { return [] }
        return [
            Self.explanation, "",
            "| packet | IPv | forwarding | flows | services | backends | ns | × MAC swap "
                + "| × without tables |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
            + rows.map { measurement in
                let row = measurement.row
                return "| \(row.packet) | \(row.family) | \(row.forwarding) | \(row.flows) "
                    + "| \(row.services) | \(row.backends) | \(measurement.nanoseconds.text) "
                    + "| \(measurement.timesSwap.text) | \(measurement.timesPlain?.text ?? "") |"
            }
    }

    private var liveTable: [String] {
        guard !live.isEmpty else { return [] }
        return [
            Self.liveExplanation, "", "| program | flows | thousand frames/s | share |",
            "|---|---|---|---|",
        ]
            + live.map { live in
                "| \(live.program) | \(live.flows) "
                    + "| \(Spread(live.framesPerSecond, times: 0.001).text) | \(live.share.text) |"
            }
    }

    private var timeTable: [String] {
        guard !times.isEmpty else { return [] }
        return [Self.timesExplanation, "", "| work | ms |", "|---|---|"]
            + times.map { "| \($0.what) | \($0.milliseconds.text) |" }
    }

    private var figureTable: [String] {
        guard !figures.isEmpty else { return [] }
        return ["| | |", "|---|---|"]
            + figures.map { "| \($0.what) | \(hundredths($0.value)) \($0.unit) |" }
    }

    func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try encoder.encode(self).write(to: URL(filePath: path))
    }
}

extension Report.Spread {
    init(_ spread: Self, times factor: Double) {
        self.init([spread.minimum, spread.median, spread.maximum].map { $0 * factor })
    }

    var text: String {
        "\(hundredths(median)) (\(hundredths(minimum)) to \(hundredths(maximum)))"
    }
}

private func hundredths(_ number: Double) -> String {
    let hundredths = Int((number * 100).rounded())
    let fraction = abs(hundredths % 100)
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
}
