import BPF
import Balancing
import CDatapath
import Glibc
import Lab
import OtherBuild
import Packets
import Testing

@testable import XDPPlane

/// A plane whose program is on an interface, pinned, and given to one controller after the other.
///
/// In a process that ends with the test, as its network does.
struct LifeStage {
    let pins = PinDirectory("/sys/fs/bpf/martlet-test-\(getpid())")
    var flows: FlowStage
    static let clients: ClosedRange<UInt32> = 1...300

    /// With a service whose flows are all recorded.
    init(_ forwarding: Forwarding) throws {
        flows = try FlowStage(
            vip: "192.0.2.100", forwarding: forwarding,
            backends: ["192.168.1.101", "192.168.1.102", "192.168.1.103"],
            scheduler: forwarding == .fullNAT ? .maglev : .roundRobin)
        try plane.attach(to: ["near"], mode: .auto, pins: pins)
    }

    /// Runs `body` in a network of its own with an interface `near`, and removes all pins.
    static func with(
        _ forwarding: Forwarding, _ body: (inout LifeStage) throws -> Void
    ) throws {
        try NetworkNamespace.enterNew(endingWithin: 280)
        // Without IPv6 the kernel sends nothing of its own accord.
        try NetworkNamespace.set("ipv6/conf/default/disable_ipv6", to: "1")
        try NetworkNamespace.addPair("near", "far")
        var stage = try LifeStage(forwarding)
        defer {
            _ = try? Attachments(pins: stage.pins).removeAll()
            let left = (try? stage.pins.entries()) ?? []
            #expect(left == [], "pins that detaching leaves")
        }
        try body(&stage)
    }

    var plane: XDPPlane { flows.plane.plane }

    /// The controller is gone; another one of this build comes.
    mutating func takeOver() throws {
        let plane = try XDPPlane(takingOver: pins)
        try plane.attach(to: ["near"], mode: .auto, pins: pins)
        flows.plane.plane = plane
    }

    /// The same of another build, which comes as far as these steps.
    func takeOver(
        _ image: [UInt8], steps: (Migration) -> [Migration.Step] = { $0.steps }
    ) throws {
        let takeover = try Takeover(image: image.span, in: pins)
        let migration = takeover.migration
        let pending = try #require(migration)
        try pending.run(steps(pending))
    }

    /// Sends a packet of each client to the program that runs; which backend each one gets.
    func send(_ clients: ClosedRange<UInt32>, _ flags: TCPFlags) throws -> [String] {
        let link = try Link(pinnedAt: pins.path(of: linkName), name: "near")
        let program = try Program(id: try link.attachment().program, name: "martlet")
        return try clients.map { client in
            let result = try program.run(on: flows.packet(of: client, flags))
            guard result.action == Action.transmit else { return "none" }
            return try #require(Ends(result.packet).destination).description
        }
    }

    var linkName: String {
        get throws { "link-\(try XDPHook(on: "near").index)" }
    }

    /// A pinned map, whichever build it is of.
    func map(_ name: String) throws -> RawMap {
        try RawMap(pinnedAt: pins.path(of: name), name: name)
    }

    var shapes: [String: MapShape] {
        get throws {
            try Dictionary(uniqueKeysWithValues: Tables.names.map { ($0, try map($0).shape) })
        }
    }

    /// What a controller of this build finds, apart from what counts.
    func contents() throws -> PlaneContents { try plane.contents() }

    /// The names of the pins that this build makes.
    var usualPins: Set<String> {
        get throws { try Set(Tables.names + ["program", linkName, "inner"]) }
    }
}
