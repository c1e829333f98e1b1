public import BPF
public import Balancing
import CDatapath
public import Packets

/// The other end of the tunnel, on a backend: a program that takes packets out of their tunnels.
///
/// It outlives the command that starts it, held by pins of its own.
public struct Decapsulator: Sendable {
    private let pins: PinDirectory
    private var attachments: Attachments { Attachments(pins: pins) }

    public init(pins: PinDirectory) { self.pins = pins }

    /// Takes packets for `addresses` out of their tunnels when they arrive on `hook`.
    ///
    /// Asked again it replaces program and addresses, without a packet in between; counters then
    /// begin at 0.
    public func start(
        on hook: XDPHook, for addresses: [IPAddress], guePort: UInt16, mode: AttachMode
    ) throws(Failure) {
        try requireKernel(XDPPlane.oldestKernel)
        guard addresses.count <= Int(MARTLET_LOCAL_ADDRESS_LIMIT.rawValue) else {
            throw Failure(
                "decapsulate for", "\(addresses.count) addresses",
                because: "the table holds \(MARTLET_LOCAL_ADDRESS_LIMIT.rawValue)", cure: nil)
        }
        let object = try Self.load()
        let program = try object.program(named: Self.programName)
        let local = try object.map(
            named: "local_addresses", key: martlet_local_address.self, value: UInt32.self)
        try local.set(
            addresses.map {
                (
                    martlet_local_address(
                        address: martlet_address($0), family: UInt32($0.family.rawValue)),
                    UInt32(guePort.bigEndian)
                )
            })
        let counters = try object.map(
            named: Self.countersName, key: UInt32.self, value: martlet_count.self)
        let isNew = pins.entries().isEmpty
        try pins.create()
        do throws(Failure) {
            try attachments.set(program, on: [hook], mode: mode)
            try pins.remove(Self.countersName)
            try counters.pin(at: pins.path(of: Self.countersName))
        } catch {
            if isNew { _ = try attachments.removeAll() }
            throw error
        }
    }

    /// Ends it; says whether there was anything to end.
    public func stop() throws(Failure) -> Bool { try attachments.removeAll() }

    /// What became of the packets; nil if it does not run.
    public func counters() throws(Failure) -> [PlaneCounters.Verdict]? {
        guard pins.contains(Self.countersName) else { return nil }
        let counters = try Map<UInt32, martlet_count>(
            pinnedAt: pins.path(of: Self.countersName), name: Self.countersName)
        var verdicts: [PlaneCounters.Verdict] = []
        for number in 1..<MARTLET_DECAPSULATION_COUNT.rawValue {
            guard let name = unsafe martlet_decapsulation_name(number),
                let text = unsafe martlet_decapsulation_text(number)
            else { continue }
            verdicts.append(
                PlaneCounters.Verdict(
                    name: unsafe String(cString: name), text: unsafe String(cString: text),
                    count: Count(try counters.perCPU(number))))
        }
        return verdicts
    }

    static let programName = "martlet_decap"
    private static let countersName = "decapsulation_counters"

    static func load() throws(Failure) -> Object {
        let image = decodeBase64(Images.decapsulate)
        return try ObjectFile(named: "decapsulate", image: image.span).load()
    }
}
