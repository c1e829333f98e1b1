import ArgumentParser
import CDatapath
import Fuzzing

/// `martlet-fuzz`: random packets through the program and through the model, until they differ.
@main
struct Fuzz: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare the XDP program with the reference model on random packets.",
        discussion: "Runs until Ctrl-C, or for --packets, or until a difference is found; that one "
            + "is shown with its smallest packet, and exit status 1.")

    @Option(help: "The same seed gives the same packets; none: a new one.")
    var seed: UInt64?
    @Option(help: "Stop after so many packets.")
    var packets: Int?

    func run() throws {
        let seed = seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
        var differential = try Differential(seed: seed)
        print("seed \(seed)")
        while differential.packets < packets ?? .max {
            do {
                try differential.runBatch()
            } catch let difference as Difference {
                print(difference)
                throw ExitCode(1)
            }
            if differential.packets % 100_000 == 0 { print("\(differential.packets) packets") }
        }
        for number in 1..<MARTLET_VERDICT_COUNT.rawValue {
            print("\(differential.verdicts[number] ?? 0)  \(name(martlet_verdict(number)))")
        }
        for event in 0..<MARTLET_FLOW_EVENT_COUNT.rawValue {
            print("\(differential.flowEvents[event] ?? 0)  flow event \(event)")
        }
        print("\(differential.packets) packets, no difference")
    }
}
