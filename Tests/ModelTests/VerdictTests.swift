import CDatapath
import Foundation
import Fuzzing
import Testing

/// Every verdict has a test that reaches it by a packet made by hand.
struct VerdictTests {
    /// The claim of one test that names the verdict, of those in Tests/.
    private static let claims = [
        "FORWARD_L2_DSR": "l2-dsr changes the MAC addresses, the TTL and its checksum",
        "FORWARD_IPIP":
            "ipip puts the packet unchanged behind an outer header, in all combinations",
        "FORWARD_GUE": "gue puts UDP between, its port from the hash, in all combinations",
        "FORWARD_NAT":
            "with nat the backend gets its address and port, and its answer is the VIP's again",
        "FORWARD_FULL_NAT":
            "a flow goes from opening to closing, and a SYN begins it anew",
        "FORWARD_RETURN":
            "an answer leaves by the way that its client came",
        "PASS_RETURN":
            "the kernel's word on the way of an answer decides what becomes of it",
        "PASS_NO_ROUTE":
            "the kernel's word on the way of an answer decides what becomes of it",
        "PASS_NAT_ADDRESS":
            "an answer leaves by the way that its client came",
        "DROP_NAT_EXHAUSTED":
            "a flow finds no port where all sixteen have flows that are not over",
        "DROP_NAT_NO_FLOW":
            "a flow goes from opening to closing, and a SYN begins it anew",
        "DROP_NAT_BUSY":
            "a flow that another CPU is opening is not opened twice",
        "REPLY_ECHO": "a ping is answered with addresses turned round and every checksum right",
        "REPLY_TOO_BIG": "the sender is told in ICMP, with a quotation and the tags that it used",
        "PASS_NOT_IP": "what is not IP is the kernel's",
        "PASS_NO_SERVICE": "a service is found by address, port and protocol",
        "PASS_VIP_PORT":
            "a port without service is the kernel's or nobody's, as the VIP has it",
        "PASS_VIP_PROTOCOL": "a tunnel to a VIP is dropped, another protocol is the kernel's",
        "PASS_ICMP": "a ping is answered only if the VIP does so",
        "DROP_TRUNCATED": "a frame that is cut short at any byte is dropped",
        "DROP_MALFORMED": "an IPv4 header may not contradict itself",
        "DROP_MARTIAN": "an IPv4 source is one that a client can have",
        "DROP_EXTENSIONS": "four extension headers are stepped over, five are not",
        "DROP_SOURCE_ROUTED":
            "a routing header is stepped over when nothing of the route is left",
        "DROP_TUNNEL": "a tunnel to a VIP is dropped, another protocol is the kernel's",
        "DROP_FRAGMENT": "a later fragment goes where the first one went, and only after it",
        "DROP_FRAGMENT_OVERLAP": "a fragment may not overwrite the TCP header",
        "DROP_VIP_PORT":
            "a port without service is the kernel's or nobody's, as the VIP has it",
        "DROP_SOURCE_DENIED": "the longest prefix that covers the source decides",
        "DROP_EXPIRED": "l2-dsr drops what is at the end of its time, a tunnel does not",
        "DROP_NO_BACKEND": "the low bits of the hash name the slot",
        "DROP_BACKENDS_FULL": "where all that could be had are full the verdict says so",
        "DROP_NO_NEXT_HOP": "no next hop comes before the end of time, and that before the size",
        "DROP_TOO_BIG": "no error after too many of them in a tick",
        // Of the driver's buffer, which the model has none of: XDPPlaneTests.
        "DROP_NO_ROOM": "a buffer without room in front of the frame is a verdict of its own",
        "DROP_BROKEN_TABLE": "tables that contradict each other drop the packet",
    ]

    private static let verdicts = (1..<MARTLET_VERDICT_COUNT.rawValue).map {
        name(martlet_verdict($0))
    }

    /// The text of every test, from its attribute on to that of the next one.
    private static func tests() throws -> [Substring] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return try FileManager.default.subpathsOfDirectory(atPath: root.path)
            .filter { $0.hasSuffix("Tests.swift") && !$0.hasSuffix("VerdictTests.swift") }
            .flatMap { path in
                try String(contentsOf: root.appending(path: path), encoding: .utf8)
                    .split(separator: "@Test")
            }
    }

    @Test func `every verdict has a test, and that test names it`() throws {
        let tests = try Self.tests()
        for verdict in Self.verdicts {
            guard let claim = Self.claims[verdict] else {
                Issue.record("no test is said to reach \(verdict)")
                continue
            }
            let claimants = tests.filter { $0.contains("func `\(claim)`") }
            #expect(!claimants.isEmpty, "no test of the name \(claim)")
            #expect(claimants.contains { $0.contains("\"\(verdict)\"") }, "\(claim): \(verdict)?")
        }
    }

    @Test func `no test is said to reach what is no verdict`() {
        #expect(Set(Self.claims.keys).subtracting(Self.verdicts) == [])
    }

    @Test func `the first word of a verdict is what the kernel is told`() {
        for (number, verdict) in zip(1..., Self.verdicts) {
            let kind: String
            switch UInt32(number) {
            case MARTLET_FIRST_DROP.rawValue...: kind = "DROP"
            case MARTLET_FIRST_PASS.rawValue...: kind = "PASS"
            case MARTLET_FIRST_REPLY.rawValue...: kind = "REPLY"
            default: kind = "FORWARD"
            }
            #expect(verdict.hasPrefix(kind + "_"), "\(verdict)")
        }
    }
}
