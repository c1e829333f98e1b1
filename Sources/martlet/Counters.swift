import ArgumentParser
import BPF
import Balancing
import XDPPlane

/// `martlet counters`
struct Counters: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what became of the packets, from the pinned tables.",
        discussion: "Every packet has one verdict, so that the verdicts sum to the packets "
            + "received. Bytes are those of the frames as they came in.")

    @OptionGroup var pins: PinOptions

    func run() throws {
        do {
            if let plane = try XDPPlane(lookingAt: pins.directory) {
                show(try plane.counters(), try plane.contents())
            } else if let verdicts = try Decapsulator(pins: pins.directory).counters() {
                show(verdicts)
            } else {
                throw Failure(
                    "read counters in", pins.directory.path, because: "nothing is pinned there",
                    cure: nil)
            }
        } catch {
            throw refused(error)
        }
    }

    private func show(_ counters: PlaneCounters, _ contents: PlaneContents) {
        show(counters.verdicts)
        row("", counters.received, "received in all")
        for (key, service) in contents.services.sorted(by: { $0.key < $1.key }) {
            print("\n\(key)")
            row("", counters.services[service.id] ?? Count(), "arrived")
            let backends = contents.backends.filter { $0.value.service == service.id }
            for (id, backend) in backends.sorted(by: { $0.value.address < $1.value.address }) {
                row("", counters.backends[id] ?? Count(), "to \(backend.address)")
            }
        }
    }

    private func show(_ verdicts: [PlaneCounters.Verdict]) {
        print("     PACKETS          BYTES")
        for verdict in verdicts { row(verdict.name, verdict.count, verdict.text) }
    }

    private func row(_ name: String, _ count: Count, _ text: String) {
        let words = name.isEmpty ? text : "\(name): \(text)"
        print("\(right(count.packets, 12)) \(right(count.bytes, 14))  \(words)")
    }
}

/// `number` at the right end of `width` columns.
private func right(_ number: UInt64, _ width: Int) -> String {
    let text = String(number)
    return String(repeating: " ", count: max(0, width - text.count)) + text
}
