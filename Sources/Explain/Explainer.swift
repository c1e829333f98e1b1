import BPF
public import Balancing
import CDatapath
public import Control
import Model
import ModelMaps
import NIOPosix
import Netlink
import Packets
public import XDPPlane

/// Says what would become of a packet now, and why; and has the program confirm it.
///
/// What is said is what the reference model makes of the live maps, of which only reads are made.
/// The program then makes the same of a copy of them, or contradicts. Both is done by a thread
/// that nobody waits for, one question after the other: each costs the time of loading a program.
public actor Explainer {
    private let plane: XDPPlane
    /// What a test does to the copy that the program gets.
    private let tamper: @Sendable (inout Model.Tables) -> Void
    private var last: Task<Explanation, any Error>?
    private var waiting = 0

    /// More than people ask at a time: whoever asks in a loop waits for answers.
    static let mostWaiting = 8

    public init(plane: XDPPlane) { self.init(plane: plane, tamper: { _ in }) }

    init(plane: XDPPlane, tamper: @escaping @Sendable (inout Model.Tables) -> Void) {
        self.plane = plane
        self.tamper = tamper
    }

    /// - Parameters:
    ///   - interfaces: Where the program runs: the packet comes in by one of them.
    ///   - names: Of what the plane knows by numbers.
    public func explain(
        _ query: ExplainQuery, on interfaces: [String], names: [ServiceID: Names]
    ) async throws -> Explanation {
        let frame = try Arrival(of: query, on: interfaces)
        guard waiting < Self.mostWaiting else {
            throw Refusal(
                .conflict,
                "cannot explain it now: \(waiting) others are being explained; ask again")
        }
        waiting += 1
        defer { waiting -= 1 }
        let (before, plane, tamper) = (last, plane, tamper)
        let task = Task {
            _ = await before?.result
            return try await NIOThreadPool.singleton.runIfActive {
                try answer(query, frame, names, plane, tamper)
            }
        }
        last = task
        return try await task.value
    }
}

/// How the packet comes in.
struct Arrival {
    let interface: UInt32
    let frame: [UInt8]

    init(of query: ExplainQuery, on interfaces: [String]) throws {
        guard query.source.family == query.destination.family else {
            throw Refusal(
                .invalid,
                "cannot explain a packet from \(query.source) to \(query.destination): "
                    + "they are of different families")
        }
        guard let name = query.interface ?? interfaces.first, interfaces.contains(name) else {
            throw Refusal(
                .invalid,
                "cannot explain a packet on \(query.interface ?? "no interface"): the program is "
                    + "on \(interfaces.isEmpty ? "none" : interfaces.joined(separator: ", "))")
        }
        do throws(Netlink.Failure) {
            var routes = try RouteSocket()
            let link = try routes.link(named: name)
            interface = link.index
            frame = query.frame(to: link.address)
        } catch {
            throw Refusal(.conflict, "\(error)")
        }
    }
}

private func answer(
    _ query: ExplainQuery, _ arrival: Arrival, _ names: [ServiceID: Names], _ plane: XDPPlane,
    _ tamper: (inout Model.Tables) -> Void
) throws -> Explanation {
    let narration = try narrate(query, arrival, names, plane)
    var explanation = narration.explanation
    var copy = narration.tables
    tamper(&copy)
    do throws {
        let rehearsal = try Rehearsal(of: arrival.frame, from: arrival.interface, over: copy)
        explanation.contradiction = rehearsal.contradiction(
            to: narration.outcome, name: narration.name(ofBackend:))
        explanation.isConfirmed = explanation.contradiction == nil
    } catch {
        explanation.contradiction = "the program was not asked: \(error)"
    }
    return explanation
}

/// What the model makes of the packet.
func narrate(
    _ query: ExplainQuery, _ arrival: Arrival, _ names: [ServiceID: Names], _ plane: XDPPlane
) throws -> Narration {
    let tables = try Model.Tables(plane, for: query.flow, from: arrival.interface)
    if tables.vips.isEmpty, try plane.isAnswer(query) {
        throw Refusal(
            .invalid,
            "cannot explain a packet from \(query.source) to \(query.destination): it is the "
                + "answer of a NAT backend, of which the kernel's routes decide; "
                + "ask for a packet to a VIP")
    }
    let outcome = decide(
        arrival.frame, from: arrival.interface, by: tables, at: coarseTime())
    return Narration(
        query: query, tables: tables, outcome: outcome, names: names, now: .now,
        interfaceName: interfaceName)
}

extension XDPPlane {
    /// Whether the packet may be one that a NAT backend sends back.
    fileprivate func isAnswer(_ query: ExplainQuery) throws -> Bool {
        if try tables.natAddresses.value(for: .init(mapping: query.destination)) != nil {
            return true
        }
        for port in [query.sourcePort, 0] {
            let found = try tables.natReturns.value(
                for: .init(
                    backend: .init(mapping: query.source), port: port.bigEndian,
                    protocol: query.transport.rawValue, zero: 0))
            if found != nil { return true }
        }
        return false
    }
}
