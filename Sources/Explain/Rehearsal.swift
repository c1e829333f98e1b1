import BPF
import Balancing
import CDatapath
import Model
import ModelMaps
import XDPPlane

/// What the program itself makes of a packet, over maps of its own.
struct Rehearsal {
    let action: UInt32
    let packet: [UInt8]
    /// By their numbers: exactly one, and at most one.
    let verdicts: [UInt32]
    let backends: [UInt32]

    /// Loads the program once more, with new maps that hold `tables`, and runs it on `frame`. The
    /// maps of the live program are not touched; these are gone when it is over.
    ///
    /// It takes the time of a load, most of which is the verifier's.
    init(of frame: [UInt8], from interface: UInt32, over tables: Model.Tables) throws {
        let plane = try XDPPlane(takingOver: PinDirectory(Self.noDirectory))
        try tables.write(into: plane)
        try plane.follow(tables.keys)
        let result = try plane.program.run(on: frame, from: interface)
        (action, packet) = (result.action, result.packet)
        verdicts = try (0..<MARTLET_VERDICT_COUNT.rawValue).filter { number in
            try plane.tables.verdictCounters.perCPU(number).contains { $0.packets > 0 }
        }
        backends = try tables.backends.keys.sorted().filter { number in
            try plane.tables.backendCounters.perCPU(number).contains { $0.packets > 0 }
        }
    }

    /// Nothing is below a file: so nothing is ever taken over from there.
    private static let noDirectory = "/dev/null/martlet"

    /// How it contradicts what the model says, in words; nil: it does not.
    func contradiction(to outcome: Outcome, name: (UInt32) -> String) -> String? {
        guard verdicts == [outcome.verdict.rawValue] else {
            return "the program says \(text(verdicts))"
        }
        guard backends == (outcome.backend.map { [$0] } ?? []) else {
            return backends.isEmpty
                ? "the program sends it to no backend"
                : "the program sends it to \(backends.map(name).joined(separator: ", "))"
        }
        guard packet == outcome.frame else {
            return "the program makes another packet of it: \(hexadecimal(packet))"
        }
        guard action == outcome.action.code else {
            return "the program has it go another way: XDP action \(action)"
        }
        return nil
    }

    private func text(_ verdicts: [UInt32]) -> String {
        verdicts.isEmpty
            ? "nothing at all"
            : verdicts.map { VerdictWords($0)?.name ?? "\($0)" }.joined(separator: " and ")
    }
}

/// `0200000000aa…`
func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { byte in
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
    }.joined()
}
