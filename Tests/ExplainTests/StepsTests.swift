import Balancing
import CDatapath
import Control
import Glibc
import Packets
import Testing
import XDPPlane

@testable import Explain

/// The words in which it is explained.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct StepsTests {
    private func text(_ step: Explanation.Step?) -> String {
        step.map { "\($0.finding) (\($0.reason ?? ""))" } ?? ""
    }

    private func step(_ name: String, _ told: Explanation) -> String {
        text(told.steps.first { $0.name == name })
    }

    @Test func `the steps come in the order in which they decide`() throws {
        let stage = try LiveStage()
        let told = try stage.tell(stage.query)
        #expect(
            told.steps.map(\.name)
                == ["service", "hash", "slot", "pin", "backend", "next hop", "packet"])
        #expect(step("service", told) == "web (it has 192.0.2.100:80/tcp)")
        #expect(told.service == "web")
        #expect(told.phase == "settled")
        #expect(told.owner == told.backend)
        #expect(told.formerOwner == nil)
        #expect(told.forwarding == .ipip)
        #expect(told.interface == "lo")
        #expect(told.neighbour == "02:00:00:00:00:bb")
        #expect(
            step("next hop", told)
                .hasPrefix("02:00:00:00:00:bb on lo (that is the way to 192.0.2.10"))
        #expect(step("packet", told) == "74 bytes leave by lo ()")
        #expect(told.text == "forwarded in an IP tunnel")
    }

    @Test func `who is no service's client is told why`() throws {
        var stage = try LiveStage { service in
            service.access = AccessList([
                IPPrefix(of: .v4(IPv4Address(0xC633_6407)), length: 24): .deny
            ])
        }
        let denied = try stage.tell(stage.query)
        #expect(denied.verdict == "DROP_SOURCE_DENIED")
        #expect(
            step("access", denied)
                == "198.51.100.7 may not use it (its access list denies 198.51.100.0/24)")
        var query = stage.query
        query.source = .v4(IPv4Address(0x7F00_0001))
        let martian = try stage.tell(query)
        #expect(martian.verdict == "DROP_MARTIAN")
        #expect(step("source", martian).hasPrefix("127.0.0.1 is refused"))
        query.destinationPort = 81
        let port = try stage.tell(query)
        #expect(port.verdict == "PASS_VIP_PORT")
        #expect(
            step("service", port)
                == "none (the VIP 192.0.2.100 has no service for tcp port 81)")
        query.destination = .v4(IPv4Address(0xC000_0209))
        let other = try stage.tell(query)
        #expect(other.verdict == "PASS_NO_SERVICE")
        #expect(step("service", other) == "none (192.0.2.9 is no VIP's)")
        #expect(other.service == nil)

        stage = try LiveStage { service in
            service.ports = .any
            service.vip = VIP(IPPrefix(of: .v4(IPv4Address(0xC000_0260)), length: 28))
        }
        let block = try stage.tell(stage.query)
        #expect(
            step("service", block)
                == "web (192.0.2.100:80/tcp is of the VIP 192.0.2.96/28, of which it has every "
                + "port that is no other service's)")
        #expect(block.verdict == "FORWARD_IPIP")
    }

    @Test func `phases and entries are told in words`() throws {
        let stage = try LiveStage()
        let moving = Slot(owner: stage.backends[0], former: stage.backends[1], looks: true)
        try stage.setSlots(moving)
        var query = stage.query
        query.isNewFlow = false
        let old = try stage.tell(query)
        #expect(old.phase == "moving")
        #expect(old.owner == "server-a")
        #expect(old.formerOwner == "server-b")
        #expect(
            step("slot", old).hasSuffix(
                "(server-a owns it; flows without an entry are server-b's, "
                    + "which owned it before)"))
        #expect(step("pin", old) == "none (the flow has no entry in the flow table)")
        #expect(
            step("backend", old)
                == "server-b (it has the flows of the slot that have no entry)")
        #expect(
            step("backend", try stage.tell(stage.query))
                == "server-a (it owns the slot, and so gets the new flow)")
        try stage.setSlots(moving.pinning())
        #expect(
            step("backend", try stage.tell(query))
                == "server-b (it has the flows of the slot that have no entry; "
                + "the flow gets one now)")
        try stage.addEntry(MARTLET_FLOW_CLOSING, of: stage.backends[2])
        let closing = try stage.tell(query)
        #expect(closing.pin == "closing")
        #expect(
            step("pin", closing)
                == "closing, with server-c (its entry in the flow table says so; its last "
                + "packet came just now)")
        #expect(step("backend", closing) == "server-c (it has the flow, by the entry)")
        #expect(
            step("pin", try stage.tell(stage.query))
                == "closing, with server-c (a flow that is over gives way to a new one)")
        try stage.forget()
        try stage.plane.freeze(true)
        #expect(
            step("backend", try stage.tell(stage.query))
                == "server-b (the flow table is nearly full: new flows go where they need no "
                + "entry)")
    }

    @Test func `what the schedulers go by is told in words`() throws {
        var stage = try LiveStage(.v4, .tcp, .ipip, .roundRobin)
        #expect(
            step("backend", try stage.tell(stage.query))
                .hasSuffix("(its turn comes next, if no other new flow comes before)"))
        stage = try LiveStage(.v4, .tcp, .ipip, .leastConnections) { service in
            for index in service.backends.indices { service.backends[index].maxConnections = 9 }
        }
        let told = step("backend", try stage.tell(stage.query))
        #expect(told.contains("it costs least of those that were looked at, as things are now: "))
        for name in ["server-a", "server-b", "server-c"] {
            #expect(told.contains("\(name) 0 of 9 flows"))
        }
        stage = try LiveStage(.v4, .tcp, .ipip, .roundRobin, affinity: .client)
        try stage.addEntry(MARTLET_FLOW_AFFINITY, of: stage.backends[1])
        #expect(
            step("backend", try stage.tell(stage.query))
                == "server-b (the client has been there, and stays)")
    }

    @Test func `ports of NAT addresses are told`() throws {
        let stage = try LiveStage(.v4, .tcp, .fullNAT)
        var query = stage.query
        query.isNewFlow = false
        let unknown = try stage.tell(query)
        #expect(unknown.verdict == "DROP_NAT_NO_FLOW")
        #expect(step("pin", unknown) == "none (the flow has no port of a NAT address)")
        #expect(
            step("backend", unknown)
                == "none (only a SYN opens a flow, and none did, or it is over)")
        let new = try stage.tell(stage.query)
        let port = try #require(new.steps.first { $0.name == "NAT" }).finding
        #expect(port.hasPrefix("203.0.113.10:"))
        _ = try stage.send()
        let known = try stage.tell(query)
        #expect(known.pin == "half-open")
        #expect(step("pin", known).hasSuffix("(the flow goes on from \(port))"))
        #expect(step("backend", known) == "\(new.backend ?? "") (it has the flow)")
    }
}
