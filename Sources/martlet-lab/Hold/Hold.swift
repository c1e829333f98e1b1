import ArgumentParser
import Foundation
import Synchronization

/// `martlet-lab hold`: a client whose connections live long.
struct Hold: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Hold flows open, and tell which of them break, how and at which backend.",
        discussion: """
            Each flow sends numbered records, which `martlet-lab hold-server` answers with its
            name. A flow is broken when it is reset, ended by the other side, not answered in time,
            answered out of order, or answered by another backend than at first.

            Takes commands as lines of standard input, one after the other:
              open N               open N flows more; done when each was answered or has failed
              check                done when each flow that was open has carried one more record
              close N|all [NAME]   close N flows, or all; of this backend, or of any
              churn N              from now on open and close N flows a second; 0: no more

            Prints a line of JSON when a command is done, and a last one after the end of its
            input, with what became of all flows so far:
              {"answers":…,"broken":[…],"closed":…,"command":1,"failed":[…],"open":{…},…}
            and ends with status 0 if no flow is broken and none has failed.
            """)

    @Option(help: "Where the server is: 192.168.1.100:80 or [fd00:1::100]:80.")
    var to: Target

    @Option(help: "An address to send from; may be given several times, for flows in turn.")
    var from: [String] = []

    @Option(help: "How many milliseconds from one record of a flow to the next.")
    var interval = 1000

    @Option(help: "How many seconds to wait for an answer before a flow is taken for broken.")
    var timeout = 10.0

    @Option(help: "How many flows to open, and how many records to send for a check, in a second.")
    var burst = 5000

    @Flag(help: "Send datagrams, each flow from a port of its own.")
    var udp = false

    func validate() throws {
        guard interval > 0, timeout > 0, burst > 0 else {
            throw ValidationError("--interval, --timeout and --burst take a number above 0")
        }
    }

    func run() throws {
        raiseFileLimit()
        let holder = try Holder(
            to: to, from: from, transport: udp ? .udp : .tcp, interval: .milliseconds(interval),
            limit: .seconds(timeout), burst: burst)
        let orders = Orders()
        Thread.detachNewThread { orders.read() }
        var number = 0
        while let order = orders.next(whileWaiting: { holder.turn() }) {
            number += 1
            holder.begin(order)
            while !holder.isDone { holder.turn() }
            printLine(try holder.report(command: number).json())
        }
        let last = holder.report(command: number + 1)
        printLine(try last.json())
        if !last.broken.isEmpty || !last.failed.isEmpty { throw ExitCode(1) }
    }
}

/// Orders that have come and are not yet begun.
private final class Orders: Sendable {
    private let state = Mutex((orders: [HoldOrder](), isOver: false))

    /// Reads standard input to its end.
    func read() {
        while let line = readLine() {
            guard let order = HoldOrder(line) else {
                printLine("no such command: \(line)")
                continue
            }
            state.withLock { $0.orders.append(order) }
        }
        state.withLock { $0.isOver = true }
    }

    /// The next order; nil after the last.
    func next(whileWaiting work: () -> Void) -> HoldOrder? {
        while true {
            let (order, isOver) = state.withLock { state in
                (state.orders.isEmpty ? nil : state.orders.removeFirst(), state.isOver)
            }
            if let order { return order }
            if isOver { return nil }
            work()
        }
    }
}
