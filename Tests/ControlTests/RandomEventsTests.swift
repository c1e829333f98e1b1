import Balancing
import FoundationEssentials
import Packets
import SeededRandom
import Testing

@testable import Control

/// What happens to a service in a day or two, at random: no flow ends but those that have to.
struct RandomEventsTests {
    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func `no event cuts a flow that could live`(seed: UInt64) async throws {
        var life = try await Life(seed: seed)
        for number in 1...120 {
            let event = try await life.happen()
            #expect(life.broken == [], "seed \(seed), event \(number): \(event)")
            if !life.broken.isEmpty { return }
        }
        life.sendAll()
        #expect(life.broken == [], "seed \(seed)")
    }

    /// Of one service, with what its clients know of it.
    private struct Life {
        private let stage: Stage
        private var dice: SeededRandom
        /// The flows that live, with the backend of each.
        private var flows: [Int: IPAddress] = [:]
        /// When each will send something again: half the keep-alive later at most, for half of it
        /// is the longest time from one look at the clock to the next.
        private var next: [Int: Date] = [:]
        /// Those that another backend got.
        private(set) var broken: [Int] = []
        private var opened = 0
        private let all: [Backend]

        init(seed: UInt64) async throws {
            dice = SeededRandom(seed: seed)
            all = try (1...5).map { number in
                Backend(
                    name: "server-\(number)",
                    address: try #require(IPAddress("192.168.1.\(100 + number)")))
            }
            var desired = web()
            desired.services[0].backends = all
            stage = try await Stage(desired)
        }

        /// Lets something happen, and tells what.
        mutating func happen() async throws -> String {
            open(20)
            let places = stage.desired.services[0].backends.indices
            let place = places.randomElement(using: &dice) ?? 0
            let name = stage.desired.services[0].backends[place].name
            switch UInt64.random(in: 0..<12, using: &dice) {
            case 0:
                await stage.tell(result(false), of: place)
                return "\(name) answers that it does not serve"
            case 1, 2:
                await stage.tell(result(true), of: place)
                return "\(name) serves"
            case 3:
                await stage.tell(silence, of: place)
                lose(stage.desired.services[0].backends[place].address)
                return "\(name) dies"
            case 4, 5: return try await drain(name)
            case 6: return try await restart()
            case 7, 8: return try await change()
            default: return try await wait()
            }
        }

        private mutating func open(_ count: Int) {
            flows.merge(stage.open(opened..<opened + count)) { $1 }
            opened += count
            let ended = flows.keys.sorted().filter { _ in
                UInt64.random(in: 0..<20, using: &dice) == 0
            }
            stage.end(ended)
            for number in ended { flows[number] = nil }
            send()
        }

        /// Whoever has waited long enough sends something.
        private mutating func send() {
            let now = stage.now
            let due = flows.filter { next[$0.key].map { $0 <= now } ?? true }
            broken += stage.broken(due)
            let most = Service.keepAlive / 2 / .seconds(1)
            for number in due.keys.sorted() {
                next[number] = now + Double.random(in: 0...most, using: &dice)
            }
        }

        mutating func sendAll() { broken += stage.broken(flows) }

        private mutating func lose(_ address: IPAddress) {
            flows = flows.filter { $0.value != address }
        }

        private mutating func drain(_ name: String) async throws -> String {
            let backend = BackendReference("web", name)
            let isShort = Bool.random(using: &dice)
            do {
                try await stage.controller.undrain(backend)
                return "\(name) is undrained"
            } catch is Refusal {}
            do {
                try await stage.controller.drain(
                    backend, deadline: isShort ? stage.now + 1800 : nil)
                return "\(name) is drained\(isShort ? " for half an hour" : "")"
            } catch is Refusal {
                return "\(name) is not drained"
            }
        }

        private mutating func restart() async throws -> String {
            try await stage.restart()
            return "the controller is killed, and starts again"
        }

        /// The file is another one: with a backend more or less, others' weights, in another order.
        private mutating func change() async throws -> String {
            let kept = all.filter { _ in UInt64.random(in: 0..<5, using: &dice) > 0 }
            var backends = (kept.isEmpty ? all : kept).shuffled(using: &dice)
            for index in backends.indices {
                backends[index].weight = UInt16.random(in: 1...3, using: &dice)
            }
            let scheduler =
                [Scheduler.maglev, .maglev, .roundRobin, .leastConnections]
                .randomElement(using: &dice) ?? .maglev
            let isRestart = Bool.random(using: &dice)
            let change = { (desired: inout DesiredState) in
                desired.services[0].backends = backends
                desired.services[0].scheduler = scheduler
            }
            if isRestart {
                try await stage.restart(change)
            } else {
                try await stage.reconfigure(change)
            }
            let names = backends.map(\.name).joined(separator: " ")
            return "the file is \(isRestart ? "changed" : "read anew"): "
                + "\(scheduler.rawValue), \(names)"
        }

        /// Living flows send something within the keep-alive.
        private mutating func wait() async throws -> String {
            let seconds = [1, 60, 450].randomElement(using: &dice) ?? 1
            let times = Int.random(in: 1...10, using: &dice)
            for _ in 0..<times {
                try await stage.pass(.seconds(seconds))
                for backend in try await stage.status().backends where backend.drain?.cut != nil {
                    if let address = IPAddress(backend.address) { lose(address) }
                }
                // One that left the file and was cut is gone by now.
                let present = Set(stage.plane.contents().backends.values.map(\.address))
                flows = flows.filter { present.contains($0.value) || !wasCut($0.value) }
                send()
            }
            return "\(times) × \(seconds) s pass"
        }

        private func wasCut(_ address: IPAddress) -> Bool {
            stage.log.contains("web/\(name(of: address)): its drain ends")
        }

        private func name(of address: IPAddress) -> String {
            all.first { $0.address == address }?.name ?? "\(address)"
        }
    }
}
