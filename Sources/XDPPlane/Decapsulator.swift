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

    /// Takes packets for `addresses` out of their tunnels when they arrive on `hook`; on other
    /// interfaces it goes on with what it was told for those.
    ///
    /// Asked again it replaces program and addresses, without a packet in between. All interfaces
    /// count together.
    public func start(
        on hook: XDPHook, for addresses: [IPAddress], guePort: UInt16, mode: AttachMode
    ) throws(Failure) -> Attachments.Attachment {
        try requireKernel(XDPPlane.oldestKernel)
        guard addresses.count <= Int(MARTLET_LOCAL_ADDRESS_LIMIT.rawValue) else {
            throw Failure(
                "decapsulate for", "\(addresses.count) addresses",
                because: "the table holds \(MARTLET_LOCAL_ADDRESS_LIMIT.rawValue)", cure: nil)
        }
        let object = try load()
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
        let isNew = try pins.entries().isEmpty
        try pins.create()
        do throws(Failure) {
            try attachments.put(program, on: [hook], mode: mode)
            try pins.remove(Self.countersName)
            try counters.pin(at: pins.path(of: Self.countersName))
            // Leaves it as it is, and tells of it.
            return try attachments.add(hook, mode: mode)
        } catch {
            if isNew { _ = try attachments.removeAll() }
            throw error
        }
    }

    /// Ends it on one interface, and with the last one altogether; says whether it ran there.
    public func stop(on hook: XDPHook) throws(Failure) -> Bool {
        let wasThere = try attachments.remove(hook)
        if wasThere, try attachments.present().isEmpty { _ = try attachments.removeAll() }
        return wasThere
    }

    /// Ends it everywhere; says whether there was anything to end.
    public func stop() throws(Failure) -> Bool { try attachments.removeAll() }

    /// Whether the pins are those of a decapsulator.
    public func isThere() throws(Failure) -> Bool { try pins.contains(Self.countersName) }

    /// What became of the packets; nil if it does not run.
    public func counters() throws(Failure) -> [PlaneCounters.Verdict]? {
        guard try isThere() else { return nil }
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
    static let countersName = "decapsulation_counters"

    static func load() throws(Failure) -> Object { try file().load() }

    /// With the counters that are pinned, if there are any.
    private func load() throws(Failure) -> Object {
        let file = try Self.file()
        if try isThere() {
            let present = try Map<UInt32, martlet_count>(
                pinnedAt: pins.path(of: Self.countersName), name: Self.countersName)
            // Those of another version count other things.
            if present.capacity == Int(MARTLET_DECAPSULATION_COUNT.rawValue) {
                try file.reuse(present)
            }
        }
        return try file.load()
    }

    private static func file() throws(Failure) -> ObjectFile {
        let image = decodeBase64(Images.decapsulate)
        return try ObjectFile(named: "decapsulate", image: image.span)
    }
}
