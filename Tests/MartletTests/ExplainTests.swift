import Balancing
import Control
import Packets
import Testing

@testable import martlet

struct ExplainTests {
    private let query = ExplainQuery(
        source: IPAddress("198.51.100.7")!, sourcePort: 41000,
        destination: IPAddress("192.168.1.100")!, destinationPort: 80, isNewFlow: true)

    private var explanation: Explanation {
        var explanation = Explanation(
            verdict: "FORWARD_L2_DSR", text: "forwarded with the backend's MAC address",
            steps: [
                .init("service", "web"),
                .init("slot", "4711, pinning: server-a's", because: "server-b drains"),
            ], isConfirmed: true)
        explanation.packet = "0200000000010200000000020800450000"
        return explanation
    }

    @Test func `an explanation has each step, its reason, and what comes of it`() {
        #expect(
            text(explanation, of: query) == """
                198.51.100.7:41000 → 192.168.1.100:80/tcp, SYN
                  service  web
                  slot     4711, pinning: server-a's
                           because server-b drains
                FORWARD_L2_DSR: forwarded with the backend's MAC address
                the program does the same, as a test run of it shows
                """)
    }

    @Test func `who was not confirmed says so`() {
        var explanation = explanation
        (explanation.isConfirmed, explanation.contradiction) = (false, "DROP_NO_BACKEND")
        #expect(
            text(explanation, of: query)
                .hasSuffix("\nNOT CONFIRMED by the program: DROP_NO_BACKEND"))
    }

    @Test func `the frame is shown byte by byte`() {
        #expect(
            text(explanation, of: query, withPacket: true).hasSuffix(
                """


                the frame that leaves:
                  0000  02 00 00 00 00 01 02 00  00 00 00 02 08 00 45 00   ..............E.
                  0010  00                                                 .
                """))
        var explanation = explanation
        explanation.packet = nil
        #expect(text(explanation, of: query, withPacket: true).hasSuffix("\n\nno frame leaves"))
    }

    @Test func `what keeps a backend out is told reason by reason`() {
        var exclusion = Exclusion(
            service: "web", backend: "server-b", share: 0, isOut: true,
            reasons: [.init("drain", "it drains"), .init("health", "down: refused")])
        #expect(
            text(exclusion) == """
                web/server-b gets no new flows
                  drain   it drains
                  health  down: refused
                """)
        (exclusion.isOut, exclusion.share) = (false, 0.125)
        #expect(text(exclusion).hasPrefix("web/server-b gets 12.5 % of the new flows of web\n"))
        exclusion.reasons = []
        #expect(
            text(exclusion)
                == "nothing keeps web/server-b out: it gets 12.5 % of the new flows of web")
    }

    @Test func `a backend can be named alone while only one is called so`() throws {
        var status = Samples.status
        #expect(try resolve("ns1", in: status) == BackendReference("dns", "ns1"))
        #expect(try resolve("web/server-a", in: status) == BackendReference("web", "server-a"))
        #expect(throws: NameProblem.unknown("ns1", among: ["web/server-a", "web/server-b"])) {
            try resolve("ns1", service: "192.168.1.100:80", in: status)
        }
        status.services[1].backends.append(Samples.backend("server-a", 9))
        #expect(throws: NameProblem.ambiguous("server-a", among: ["web/server-a", "dns/server-a"]))
        { try resolve("server-a", in: status) }
        #expect(
            try resolve("server-a", service: "dns", in: status)
                == BackendReference("dns", "server-a"))
        #expect(
            try resolve("server-a", service: "[2001:db8::53]:53", in: status)
                == BackendReference("dns", "server-a"))
    }
}
