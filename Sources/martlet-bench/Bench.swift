import ArgumentParser
import BPF
import Balancing
import CLinux
import FoundationEssentials
import Glibc

/// `martlet-bench`: what a packet costs.
@main
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure the data path.", discussion: Report.explanation)

    @Option(help: "How many rounds: an odd number.")
    var rounds = 9
    @Option(help: "Write everything that is measured to this file, as JSON.")
    var json: String?
    @Flag(inversion: .prefixedNo, help: "Measure packets.")
    var packets = true
    @Flag(inversion: .prefixedNo, help: "Measure work on tables, too.")
    var tables = true
    @Flag(inversion: .prefixedNo, help: "Send real frames through a veth, too.")
    var live = true

    func validate() throws {
        guard rounds > 0, rounds % 2 == 1 else { throw ValidationError("--rounds must be odd") }
    }

    func run() throws {
        // The network of this thread: it ends with us, and nothing is left of its interfaces.
        guard linux_unshare_network() == 0 else {
            throw ValidationError("cannot make a network namespace: run as root")
        }
        var report = Report(
            rounds: rounds, repetitions: Int(Harness.repetitions), processor: processor(),
            kernel: kernel())
        if packets { report.rows = try measure() }
        if tables { (report.times, report.figures) = try TableBench(rounds: rounds).measure() }
        // What was measured until then is told, whatever becomes of the frames.
        let frames = Result { live ? try LiveHarness(rounds: rounds).measure() : [] }
        report.live = (try? frames.get()) ?? []
        print(report.table())
        if let json { try report.write(to: json) }
        _ = try frames.get()
    }

    private func measure() throws -> [Report.Measurement] {
        let harness = try Harness()
        try makeRoute()
        let subjects = try makeSubjects(harness)
        var costs = [[Double]](repeating: [], count: subjects.count)
        var (swaps, ratios, multiples) = (costs, costs, costs)
        for _ in 0..<rounds {
            for (index, subject) in subjects.enumerated() {
                let swap = try harness.swapAlone(subject.frame)
                let making = try harness.swapWithPackets(subject) - swap
                let cost = try harness.balancer(subject) - making
                costs[index].append(cost)
                swaps[index].append(swap)
                ratios[index].append(cost / swap)
                guard subject.isPlain else { continue }
                multiples[index].append(cost / (try harness.encapsulation(subject) - making))
            }
        }
        return subjects.indices.map { index in
            Report.Measurement(
                row: subjects[index].row, nanoseconds: Report.Spread(costs[index]),
                swapNanoseconds: Report.Spread(swaps[index]),
                timesSwap: Report.Spread(ratios[index]),
                timesPlain: multiples[index].isEmpty ? nil : Report.Spread(multiples[index]))
        }
    }
}

/// The way to clients that the kernel is asked for: out of the loopback, by a gateway.
private func makeRoute() throws {
    let script =
        "ip link set lo up && echo 1 > /proc/sys/net/ipv4/ip_forward && "
        + "ip route add 10.0.0.0/8 via 10.255.255.254 dev lo onlink && "
        + "ip neigh add 10.255.255.254 lladdr 02:00:00:00:00:02 nud permanent dev lo"
    guard unsafe system(script) == 0 else {
        throw Failure("make", "a route", because: "`ip` could not", cure: nil)
    }
}

private func processor() -> String {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
    let name = line?.split(separator: ":").last.map { $0.drop { $0 == " " } } ?? "unknown"
    return "\(name), \(sysconf(Int32(_SC_NPROCESSORS_ONLN))) CPUs"
}

private func kernel() -> String {
    let text = try? String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8)
    return text.map { String($0.prefix { $0 != "\n" }) } ?? "unknown"
}
