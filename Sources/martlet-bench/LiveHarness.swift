import BPF
import Balancing
import CDatapath
import Glibc
import Packets
import XDPPlane

/// Sends real frames through a veth to a program that returns them, and counts those that return.
///
/// Both ends are in the network namespace of the calling thread.
struct LiveHarness: ~Copyable {
    private let rounds: Int
    private let sender: Program
    private let swap: Program
    private let bare: Program
    private let receiver: Program
    private let state: Map<UInt32, martlet_bench>
    private let received: Map<UInt32, UInt64>
    private static let frames: Int32 = 1 << 20
    /// As many as a card's driver takes in one go.
    private static let batch: UInt32 = 64

    init(rounds: Int) throws {
        let object = try loadBenchPrograms()
        let sender = try object.program(named: "bench_send")
        let bare = try object.program(named: "bench_transmit")
        let swap = try object.program(named: "bench_swap")
        let receiver = try object.program(named: "bench_receive")
        let state = try object.map(named: "bench", key: UInt32.self, value: martlet_bench.self)
        let received = try object.map(
            named: "received", key: UInt32.self, value: UInt64.self)
        self.rounds = rounds
        self.sender = sender
        self.swap = swap
        self.bare = bare
        self.receiver = receiver
        self.state = state
        self.received = received
    }

    func measure() throws -> [Report.Live] {
        let script =
            "ip link add sender type veth peer name balancer && ip link set sender up && "
            + "ip link set balancer up"
        guard unsafe system(script) == 0 else {
            throw Failure("make", "a veth", because: "`ip` could not", cure: nil)
        }
        let (near, far) = (try XDPHook(on: "sender"), try XDPHook(on: "balancer"))
        let end = try receiver.attach(
            toInterface: near.index, named: near.interface, mode: .native)
        let link = try bare.attach(toInterface: far.index, named: far.interface, mode: .native)
        _ = end.name
        let setup = Setup(family: .v4, forwarding: .ipip, interface: far.index)
        let plane = try setup.makePlane()
        let frame = setup.frame()
        let flows = [1, 1 << 20]
        var (bares, swaps, rates) = ([[Double]](), [[Double]](), [[Double]]())
        for count in flows {
            var (bare, swap, rate) = ([Double](), [Double](), [Double]())
            for _ in 0..<rounds {
                try link.update(to: self.bare)
                bare.append(try framesPerSecond(frame, flows: count, to: near.index))
                try link.update(to: self.swap)
                swap.append(try framesPerSecond(frame, flows: count, to: near.index))
                try link.update(to: plane.program)
                rate.append(try framesPerSecond(frame, flows: count, to: near.index))
            }
            bares.append(bare)
            swaps.append(swap)
            rates.append(rate)
        }
        return flows.indices.flatMap { index in
            [("XDP_TX", bares), ("MAC swap", swaps), ("martlet, IPv4 ipip", rates)].map {
                name, rates in
                Report.Live(
                    program: name, flows: flows[index],
                    framesPerSecond: Report.Spread(rates[index]),
                    share: Report.Spread(zip(rates[index], bares[index]).map { $0 / $1 }))
            }
        }
    }

    /// Sends frames out of `interface` until enough of them come back to it.
    ///
    /// Other work on the machine can hold up who takes them out of a veth's ring, and it overflows:
    /// what is measured then is that work, and it is measured again.
    private func framesPerSecond(
        _ frame: [UInt8], flows: Int, to interface: UInt32
    ) throws -> Double {
        var bench = makeState(frame, flows: flows)
        bench.interface = interface
        var fewest = UInt64.max
        for _ in 0..<Self.attempts {
            try state.set(bench, for: 0)
            let (count, duration) = try sendOnce(frame)
            if count > Self.frames / 10 * 9 { return Double(count) / (duration / .seconds(1)) }
            fewest = min(fewest, count)
        }
        throw Failure(
            "measure", "live frames",
            because: "\(Self.attempts) times too few of \(Self.frames) came back, once \(fewest)",
            cure: "measure while the machine does nothing else, or with --no-live")
    }

    private static let attempts = 10

    /// Sends them all; how many came back, and how long it took.
    private func sendOnce(_ frame: [UInt8]) throws -> (count: UInt64, duration: Duration) {
        let before = try received.perCPU(0).reduce(0, +)
        let duration = try ContinuousClock().measure {
            try sender.send(frame, count: Self.frames, batch: Self.batch)
        }
        return (try received.perCPU(0).reduce(0, +) - before, duration)
    }
}
