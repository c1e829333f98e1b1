import API
import ArgumentParser
import BPF
import Balancing
import Control
import FoundationEssentials
import Glibc
import XDPPlane

/// `martlet counters`
struct Counters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what became of the packets.",
        discussion: """
            Every packet has one verdict, so that the verdicts sum to the packets received. Bytes \
            are those of the frames as they came in. A running controller adds names and rates; \
            without one, or with --pins, the pinned tables are read.

            Examples:
              martlet counters --watch
              martlet counters --pins /sys/fs/bpf/martlet-decapsulate

            Exit status: 0 shown, 1 there is nothing to read, or it may not be read, 64 wrong \
            usage.
            """)

    @Flag(help: "Show the verdicts that no packet had, too; JSON always has them.")
    var all = false
    @OptionGroup var show: ShowOptions
    @OptionGroup var controller: ControllerOptions
    @Option(
        help: "Read the tables pinned in this directory, and ask no controller.",
        completion: .directory)
    var pins: String?

    func run() async throws {
        do {
            var source = CountersSource(controller, pins: pins)
            try await show.show(
                {
                    let report = try await source.report()
                    return Shown(
                        report: report, isOnlyReading: !source.isControllerAsked && !show.watch)
                },
                text: {
                    text($0.report, isWhole: all, isOnlyReading: $0.isOnlyReading, on: $1)
                })
        } catch {
            throw refused(error)
        }
    }
}

/// A report, and what its text has to say beside it.
private struct Shown: Encodable {
    let report: CountersReport
    let isOnlyReading: Bool

    func encode(to encoder: any Encoder) throws { try report.encode(to: encoder) }
}

/// Where the counters come from: the controller, while there is one; else the pinned tables.
private struct CountersSource {
    private let controller: ControllerOptions
    /// What is read when no controller is asked.
    private let directory: PinDirectory
    private(set) var isControllerAsked: Bool
    private var tables: PinnedTables?

    init(_ controller: ControllerOptions, pins: String?) {
        self.controller = controller
        directory = PinDirectory(pins ?? PinOptions.standard)
        isControllerAsked = pins == nil
    }

    mutating func report() async throws -> CountersReport {
        if isControllerAsked {
            do {
                return try await controller.client.counters()
            } catch let error as API.Failure where error.isAbsence {
                printError("no controller at \(controller.socket): read from \(directory.path)")
                isControllerAsked = false
            }
        }
        var present = try tables ?? PinnedTables(directory)
        defer { tables = present }
        return try present.report()
    }
}

/// Counters that are read without a controller, with the rates since they were read before.
private struct PinnedTables {
    private let source: Source
    private var earlier: Reading?

    private enum Source {
        case balancer(XDPPlane)
        case decapsulator(Decapsulator)
    }

    init(_ pins: PinDirectory) throws {
        if let plane = try XDPPlane(lookingAt: pins) {
            source = .balancer(plane)
        } else if try Decapsulator(pins: pins).counters() != nil {
            source = .decapsulator(Decapsulator(pins: pins))
        } else {
            throw BPF.Failure(
                "read counters in", pins.path, because: "nothing is pinned there",
                cure: "`martlet run` pins its tables in \(PinOptions.standard), `martlet "
                    + "decapsulate` in \(PinOptions.decapsulator)")
        }
    }

    mutating func report() throws -> CountersReport {
        let counters: PlaneCounters
        let contents: PlaneContents
        switch source {
        case .balancer(let plane):
            (counters, contents) = (try plane.counters(), try plane.contents())
        case .decapsulator(let decapsulator):
            let verdicts = try decapsulator.counters() ?? []
            counters = PlaneCounters(verdicts: verdicts, services: [:], backends: [:])
            contents = PlaneContents()
        }
        let reading = Reading(taken: .now, counters: counters)
        defer { earlier = reading }
        return CountersReport(Meter(reading, since: earlier), of: contents)
    }
}
