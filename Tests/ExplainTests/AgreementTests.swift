import Balancing
import CDatapath
import Control
import Glibc
import Packets
import Testing
import XDPPlane

@testable import Explain

/// What is explained, and what the live program makes of that packet then.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct AgreementTests {
    /// Explains the packet, sends it, and compares.
    private func agree(
        _ stage: LiveStage, isNewFlow: Bool, _ comment: Comment,
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        var query = stage.query
        query.isNewFlow = isNewFlow
        let told = try stage.tell(query)
        let (verdict, backend, packet) = try stage.send(query)
        #expect(told.verdict == verdict, comment, sourceLocation: location)
        if verdict?.hasPrefix("FORWARD") == true {
            #expect(told.backend == backend, comment, sourceLocation: location)
            #expect(told.packet == hexadecimal(packet), comment, sourceLocation: location)
        } else {
            #expect(told.packet == nil, comment, sourceLocation: location)
        }
        #expect(told.steps.last?.name == "packet", comment, sourceLocation: location)
    }

    /// Goes through all that a flow may meet, packet by packet.
    private func agree(_ stage: LiveStage) throws {
        let (a, b, c) = (stage.backends[0], stage.backends[1], stage.backends[2])
        try agree(stage, isNewFlow: false, "settled, of no flow that was opened")
        for isNewFlow in [true, false, true, false] {
            try agree(stage, isNewFlow: isNewFlow, "settled")
        }
        let moving = Slot(owner: a, former: b, looks: true)
        for slot in [moving, moving.pinning(), moving.pinning().pinned()] {
            try stage.setSlots(slot)
            try stage.forget()
            for isNewFlow in [false, false, true, true, false] {
                try agree(stage, isNewFlow: isNewFlow, "\(slot.phase), first an old flow")
            }
            try stage.forget()
            for isNewFlow in [true, false] {
                try agree(stage, isNewFlow: isNewFlow, "\(slot.phase), first a new flow")
            }
            for state in [
                MARTLET_FLOW_HALF_OPEN, MARTLET_FLOW_ESTABLISHED, MARTLET_FLOW_CLOSING,
                MARTLET_FLOW_DATAGRAMS, MARTLET_FLOW_AFFINITY,
            ] {
                for isNewFlow in [true, false] {
                    try stage.forget()
                    try stage.addEntry(state, of: c)
                    try agree(
                        stage, isNewFlow: isNewFlow, "\(slot.phase), entry \(state.rawValue)")
                }
            }
            try stage.forget()
            try stage.plane.freeze(true)
            try agree(stage, isNewFlow: true, "\(slot.phase), frozen")
            try stage.plane.freeze(false)
        }
        for backend in stage.backends { try stage.plane.apply(.setNextHop(backend, nil)) }
        try agree(stage, isNewFlow: true, "no next hop")
        try stage.forget()
        try stage.setSlots(Slot(owner: nil))
        for isNewFlow in [true, false] { try agree(stage, isNewFlow: isNewFlow, "nobody") }
    }

    @Test(arguments: IPFamily.allCases, Forwarding.allCases)
    func `the program does with every packet what was explained, in every mode`(
        family: IPFamily, forwarding: Forwarding
    ) throws {
        for transport in Transport.allCases {
            try agree(LiveStage(family, transport, forwarding))
        }
    }

    @Test(arguments: [Scheduler.roundRobin, .leastConnections, .responseTime], [true, false])
    func `the program does with every packet what was explained, with every scheduler`(
        scheduler: Scheduler, hasAffinity: Bool
    ) throws {
        for (transport, forwarding) in [
            (.tcp, .ipip), (.udp, .gue), (.tcp, .fullNAT),
        ] as [(Transport, Forwarding)] {
            let stage = try LiveStage(
                .v4, transport, forwarding, scheduler, affinity: hasAffinity ? .client : nil)
            try agree(stage)
        }
    }

    @Test func `backends that are full are passed over, as was explained`() throws {
        for scheduler in Scheduler.allCases {
            let stage = try LiveStage(.v4, .tcp, .ipip, scheduler) { service in
                for index in service.backends.indices {
                    service.backends[index].maxConnections = 1
                }
            }
            var told: [String?] = []
            for port in 41000..<41004 as Range<UInt16> {
                var query = stage.query
                query.sourcePort = port
                let explanation = try stage.tell(query)
                let (verdict, backend, _) = try stage.send(query)
                #expect(explanation.verdict == verdict)
                #expect(explanation.backend == backend)
                told.append(explanation.backend)
            }
            #expect(Set(told) == ["server-a", "server-b", "server-c", nil])
            let last = try stage.tell(stage.query)
            #expect(last.backend != nil, "the first flow has its entry")
        }
    }
}
