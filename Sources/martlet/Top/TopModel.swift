import Control
import FoundationEssentials

/// What `martlet top` has been told, and what its reader wants of it.
struct TopModel {
    /// What was the case at a moment, and in the minute before.
    struct Picture {
        var status: Status
        var counters: CountersReport
        /// By service, or service and address of a backend.
        fileprivate(set) var courses: [String: Course] = [:]

        func course(of service: Status.Service) -> Course { courses[key(service)] ?? Course() }

        func course(of backend: Status.Backend, _ service: Status.Service) -> Course {
            courses[key(service, backend)] ?? Course()
        }
    }

    /// How the traffic of something went.
    struct Course {
        /// Packets per second, the oldest first.
        fileprivate(set) var rates: [Double] = []
        /// New flows per second; nil: not known yet.
        fileprivate(set) var newFlows: Double?
        fileprivate var flows: UInt64 = 0
        fileprivate var taken: Date?
    }

    enum Order: String, CaseIterable {
        case configured = "as configured"
        case packets = "packet/s"
        case bits = "bit/s"
        case newFlows = "new flows/s"
    }

    private var present: Picture
    /// What is looked at while it stands still.
    private var held: Picture?
    private(set) var order = Order.configured
    /// So many rows are above the first that is seen.
    var offset = 0
    /// Why nothing new comes; nil: it does.
    var trouble: String?
    /// So many readings are a minute.
    private let memory: Int

    var isPaused: Bool { held != nil }
    var shown: Picture { held ?? present }

    /// - Parameter interval: From one reading to the next, in seconds.
    init(_ status: Status, _ counters: CountersReport, interval: Double = 1) {
        memory = max(1, Int(60 / interval))
        present = Picture(status: status, counters: counters)
        take(status, counters)
    }

    /// Takes the next reading.
    mutating func take(_ status: Status, _ counters: CountersReport) {
        var courses: [String: Course] = [:]
        for service in status.services {
            courses[key(service)] = next(key(service), service.traffic, at: status.taken)
            for backend in service.backends {
                let key = key(service, backend)
                courses[key] = next(key, backend.traffic, at: status.taken)
            }
        }
        present = Picture(status: status, counters: counters, courses: courses)
        trouble = nil
    }

    private func next(_ key: String, _ traffic: Traffic, at moment: Date) -> Course {
        var course = present.courses[key] ?? Course()
        if let taken = course.taken {
            let seconds = moment.timeIntervalSince(taken)
            // Counters begin at 0 again when a backend comes back.
            if seconds > 0 {
                course.newFlows =
                    traffic.flows < course.flows
                    ? nil : Double(traffic.flows - course.flows) / seconds
            }
        }
        (course.flows, course.taken) = (traffic.flows, moment)
        if let rate = traffic.packetsPerSecond { course.rates.append(rate) }
        course.rates = course.rates.suffix(memory)
        return course
    }

    /// Does what a key asks for.
    ///
    /// - Parameter page: How many rows are seen at a time.
    mutating func press(_ key: TopKey, page: Int) {
        switch key {
        case .sort:
            let orders = Order.allCases
            let next = (orders.firstIndex(of: order) ?? 0) + 1
            order = orders[next % orders.count]
            offset = 0
        case .pause: held = held == nil ? present : nil
        case .up: offset = max(0, offset - 1)
        case .down: offset += 1
        case .pageUp: offset = max(0, offset - page)
        case .pageDown: offset += page
        case .quit: break
        }
    }
}

private func key(_ service: Status.Service) -> String { service.key }

private func key(_ service: Status.Service, _ backend: Status.Backend) -> String {
    "\(service.key) \(place(backend.address, backend.port))"
}

/// What a reader of `martlet top` can ask for.
enum TopKey: Hashable {
    case quit, sort, pause, up, down, pageUp, pageDown

    /// What was typed: letters, and the sequences of cursor keys (ECMA-48 and DEC's VT220).
    static func keys(in bytes: [UInt8]) -> [TopKey] {
        var keys: [TopKey] = []
        var rest = String(decoding: bytes, as: UTF8.self)[...]
        while !rest.isEmpty {
            if let (text, key) = sequences.first(where: { rest.hasPrefix($0.0) }) {
                keys.append(key)
                rest = rest.dropFirst(text.count)
            } else {
                rest = rest.dropFirst()
            }
        }
        return keys
    }

    private static let sequences: [(String, TopKey)] = [
        ("\u{1B}[A", .up), ("\u{1B}OA", .up), ("\u{1B}[B", .down), ("\u{1B}OB", .down),
        ("\u{1B}[5~", .pageUp), ("\u{1B}[6~", .pageDown), ("q", .quit), ("Q", .quit),
        ("s", .sort), ("p", .pause), ("k", .up), ("j", .down), (" ", .pageDown),
        ("b", .pageUp),
    ]
}
