public import Balancing
public import FoundationEssentials

/// Counts, and how fast they grow.
public struct Traffic: Hashable, Sendable, Codable {
    public var packets: UInt64
    /// Of the frames as they were received.
    public var bytes: UInt64
    /// New ones, as far as they can be told: TCP packets with SYN and without ACK.
    public var flows: UInt64
    /// Nil: not known yet.
    public var packetsPerSecond: Double?
    public var bitsPerSecond: Double?

    init(_ count: Count, since earlier: Count? = nil, seconds: Double = 0) {
        packets = count.packets
        bytes = count.bytes
        flows = count.flows
        // Counters begin at 0 again when a backend comes back; there is no rate then.
        guard let earlier, seconds > 0, count.packets >= earlier.packets,
            count.bytes >= earlier.bytes
        else { return }
        packetsPerSecond = Double(count.packets - earlier.packets) / seconds
        bitsPerSecond = Double(count.bytes - earlier.bytes) * 8 / seconds
    }
}

/// One reading of a plane's counters.
public struct Reading: Hashable, Sendable {
    public var taken: Date
    public var counters: PlaneCounters

    public init(taken: Date, counters: PlaneCounters) {
        self.taken = taken
        self.counters = counters
    }
}

/// Two readings, and so counts with their rates.
public struct Meter: Sendable {
    let reading: Reading
    private let earlier: Reading?

    public init(_ reading: Reading, since earlier: Reading?) {
        self.reading = reading
        self.earlier = earlier
    }

    /// From the earlier reading to this one, in seconds; nil: there is no earlier one.
    var interval: Double? { earlier.map { reading.taken.timeIntervalSince($0.taken) } }

    func traffic(of service: ServiceID) -> Traffic { traffic { $0.services[service] } }

    func traffic(of backend: BackendID) -> Traffic { traffic { $0.backends[backend] } }

    func traffic(_ count: (PlaneCounters) -> Count?) -> Traffic {
        Traffic(
            count(reading.counters) ?? Count(), since: earlier.flatMap { count($0.counters) },
            seconds: interval ?? 0)
    }
}

/// What a plane has counted, with names as far as they are known.
public struct CountersReport: Hashable, Sendable, Codable {
    /// When it was counted.
    public var taken: Date
    /// Over how many seconds the rates are; nil: there are none.
    public var interval: Double?
    /// In the order of the data path; they sum to `received`.
    public var verdicts: [Verdict]
    public var received: Traffic
    public var services: [Service]

    /// What became of packets, in one way.
    public struct Verdict: Hashable, Sendable, Codable {
        public var name: String
        /// The same in words.
        public var text: String
        public var traffic: Traffic
    }

    /// What arrived for a service, and where it went.
    public struct Service: Hashable, Sendable, Codable {
        /// `192.168.1.100:80/tcp`
        public var key: String
        /// Nil: only a running controller knows names.
        public var name: String?
        public var traffic: Traffic
        public var backends: [Backend]
    }

    /// What was forwarded to a backend.
    public struct Backend: Hashable, Sendable, Codable {
        public var address: String
        /// Of its own; nil: it takes packets at the service's ports.
        public var port: UInt16?
        public var name: String?
        public var traffic: Traffic
    }
}

extension CountersReport {
    /// What was read of a plane that holds `contents`.
    ///
    /// - Parameter names: How people call services and backends, where that is known.
    public init(_ meter: Meter, of contents: PlaneContents, names: [ServiceID: Names] = [:]) {
        taken = meter.reading.taken
        interval = meter.interval
        received = meter.traffic { $0.received }
        verdicts = meter.reading.counters.verdicts.enumerated().map { index, verdict in
            Verdict(
                name: verdict.name, text: verdict.text,
                traffic: meter.traffic { $0.verdicts[index].count })
        }
        services = contents.frontends.sorted { $0.value < $1.value }.map { id, frontend in
            let backends = contents.backends.filter { $0.value.service == id }
                .sorted { $0.value.address < $1.value.address }
            return Service(
                key: "\(frontend)", name: names[id]?.service, traffic: meter.traffic(of: id),
                backends: backends.map { number, backend in
                    Backend(
                        address: "\(backend.address)", port: backend.port,
                        name: names[id]?.backends[backend.address],
                        traffic: meter.traffic(of: number))
                })
        }
    }

    /// A report of verdicts alone.
    public init(verdicts: [PlaneCounters.Verdict], taken: Date) {
        let counters = PlaneCounters(verdicts: verdicts, services: [:], backends: [:])
        let reading = Reading(taken: taken, counters: counters)
        self.init(Meter(reading, since: nil), of: PlaneContents())
    }
}
