import ArgumentParser
import Balancing
import Packets
import XDPPlane

/// `martlet-bench`: what a packet costs.
@main
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure the data path by test runs.",
        discussion: "Median, minimum and maximum of interleaved rounds, in nanoseconds for each "
            + "packet, what makes the packets taken off; and as a multiple of a program that swaps "
            + "the MAC addresses of the same packet, measured in the same round.")

    @Option(help: "How many rounds.")
    var rounds = 9

    func run() throws {
        let harness = try Harness()
        let subjects = try makeSubjects()
        var costs = [[Double]](repeating: [], count: subjects.count)
        var ratios = costs
        for _ in 0..<rounds {
            for (index, subject) in subjects.enumerated() {
                let swap = try harness.swapAlone(subject.frame)
                let making =
                    try harness.swapWithPackets(subject.frame, flows: subject.flows) - swap
                let cost = try harness.balancer(subject) - making
                costs[index].append(cost)
                ratios[index].append(cost / swap)
            }
        }
        print("| packet | flows | ns, median (min to max) | × MAC swap |\n|---|---|---|---|")
        for (index, subject) in subjects.enumerated() {
            let sorted = costs[index].sorted()
            print(
                "| \(subject.name) | \(subject.flows) | \(tenths(median(sorted))) "
                    + "(\(tenths(sorted[0])) to \(tenths(sorted[sorted.count - 1]))) | "
                    + "\(tenths(median(ratios[index].sorted()))) |")
        }
    }
}

private func makeSubjects() throws -> [Subject] {
    let vip4 = IPAddress.v4(IPv4Address(0xC000_0264))
    let vip6 = IPAddress.v6(IPv6Address(0x2001_0db8 << 96 | 0x64))
    let other = IPAddress.v4(IPv4Address(0xC633_6464))
    let (data4, data6) = (tcpFrame(to: vip4, isSYN: false), tcpFrame(to: vip6, isSYN: false))
    func plane(
        _ vip: IPAddress, _ forwarding: Forwarding, _ family: IPFamily, backends: Int = 100,
        services: Int = 1
    ) throws -> XDPPlane {
        try makePlane(
            vip: vip, forwarding: forwarding, backendFamily: family, backends: backends,
            services: services)
    }
    let ipip = try plane(vip4, .ipip, .v4)
    var subjects = [1, 1 << 10, 1 << 16, 1 << 20].map {
        Subject(name: "IPv4 `ipip` established", frame: data4, flows: $0, plane: ipip)
    }
    let syn = tcpFrame(to: vip4, isSYN: true)
    subjects += [1, 1 << 20].map {
        Subject(name: "IPv4 `ipip` SYN", frame: syn, flows: $0, plane: ipip)
    }
    let direct = try plane(vip4, .l2DSR, .v4)
    let gue = try plane(vip4, .gue, .v4)
    for flows in [1, 1 << 20] {
        subjects.append(
            Subject(name: "IPv4 `l2-dsr` established", frame: data4, flows: flows, plane: direct))
        subjects.append(
            Subject(name: "IPv4 `gue` established", frame: data4, flows: flows, plane: gue))
    }
    subjects += [
        Subject(
            name: "IPv6 `ipip` established", frame: data6, flows: 1,
            plane: try plane(vip6, .ipip, .v6)),
        Subject(
            name: "IPv6 `l2-dsr` established", frame: data6, flows: 1,
            plane: try plane(vip6, .l2DSR, .v6)),
        Subject(
            name: "IPv4 for nobody, to the kernel", frame: tcpFrame(to: other, isSYN: false),
            flows: 1, plane: ipip),
        Subject(
            name: "IPv4 `ipip` established, 1,000 services", frame: data4, flows: 1 << 20,
            plane: try plane(vip4, .ipip, .v4, services: 1000)),
        Subject(
            name: "IPv4 `ipip` established, 4,000 backends", frame: data4, flows: 1 << 20,
            plane: try plane(vip4, .ipip, .v4, backends: 4000)),
    ]
    return subjects
}

private func median(_ sorted: [Double]) -> Double { sorted[sorted.count / 2] }

private func tenths(_ number: Double) -> String {
    let tenths = Int((number * 10).rounded())
    return "\(tenths / 10).\(abs(tenths % 10))"
}
