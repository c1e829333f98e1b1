import API
import ArgumentParser
import BPF
import Balancing
import Control
import FoundationEssentials
import XDPPlane

/// `martlet counters`
struct Counters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what became of the packets.",
        discussion: "Every packet has one verdict, so that the verdicts sum to the packets "
            + "received. Bytes are those of the frames as they came in. A running controller "
            + "adds names and rates; without one, or with --pins, the pinned tables are read.")

    @OptionGroup var show: ShowOptions
    @OptionGroup var socket: SocketOption
    @Option(help: "Read the tables pinned in this directory, and ask no controller.")
    var pins: String?

    func run() async throws {
        do {
            let client = Client(at: socket.path)
            if pins == nil, let report = try? await client.counters() {
                var first: CountersReport? = report
                try await show.show(
                    {
                        defer { first = nil }
                        if let first { return first }
                        return try await client.counters()
                    }, text: text)
            } else {
                let directory = PinDirectory(pins ?? PinOptions.standard)
                if pins == nil {
                    printError("no controller at \(socket.socket): read from \(directory.path)")
                }
                var tables = try PinnedTables(directory)
                try await show.show({ try tables.report() }, text: text)
            }
        } catch {
            throw refused(error)
        }
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
            throw Failure(
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
