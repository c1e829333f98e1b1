import Balancing
import ConfigurationFile
import Packets
import Testing

/// What is asked of services whose addresses and ports are rewritten.
struct NATTests {
    /// A file with these services and NAT addresses, from line 4 on, one service a line.
    private func file(_ services: [String], addresses: String? = "192.0.2.10") -> String {
        (addresses.map { "nat-addresses: [\($0)]" } ?? "attach-mode: native")
            + "\ninterfaces: [eth1]\nservices:\n"
            + services.enumerated().map { "  - { name: s\($0.offset), \($0.element) }\n" }.joined()
    }

    private func service(
        _ vip: String, _ ports: String, _ mode: String = "nat", backends: String...
    ) -> String {
        let list = backends.enumerated().map { "{ name: b\($0.offset), address: \($0.element) }" }
        return "vip: \"\(vip)\", \(ports), forwarding: \(mode), "
            + "backends: [\(list.joined(separator: ", "))]"
    }

    @Test func `backends have ports of their own, at which they are probed`() throws {
        let web = service(
            "203.0.113.1", "port: 80, health-check: { type: tcp }",
            backends: "10.0.0.1, port: 8080", "10.0.0.2")
        var state = try parse(file([web]), file: "m.yaml")
        var read = try #require(state.services.first)
        #expect(read.forwarding == .nat)
        #expect(read.backends.map(\.port) == [8080, nil])
        #expect(read.backends.map { read.healthCheck(of: $0)?.port } == [8080, 80])
        state = try parse(
            file([web.replacing("type: tcp", with: "type: tcp, port: 9")]), file: "m.yaml")
        read = try #require(state.services.first)
        #expect(read.backends.map { read.healthCheck(of: $0)?.port } == [9, 9])
    }

    @Test(
        arguments: [
            ("192.0.2.10", ["192.0.2.10"], nil),
            ("\"2001:db8::10\", 192.0.2.10", ["192.0.2.10", "2001:db8::10"], nil),
            (
                "192.0.2.16/30, 192.0.2.1",
                ["192.0.2.1", "192.0.2.16", "192.0.2.17", "192.0.2.18", "192.0.2.19"], nil
            ),
            ("", [], "nat-addresses: found no addresses, accepted: one or more"),
            ("x", [], "nat-addresses[0]: found \"x\""),
            ("127.0.0.1", [], "nat-addresses[0]: found \"127.0.0.1\", a loopback address"),
            ("192.0.2.17/28", [], "(did you mean 192.0.2.16/28?)"),
            (
                "192.0.2.16/28, 192.0.2.20", [],
                "1:32: nat-addresses[1]: found \"192.0.2.20\", of which a part is in line 1 already"
            ),
            (
                "192.0.2.0/24", [],
                "nat-addresses[0]: found 256 addresses, accepted: at most"
            ),
            ("10.9.0.0/25, 10.8.0.0/25", [], "[1]: found 128 addresses after 128 others"),
            ("10.0.0.0/8", [], "found 16777216 addresses, accepted"),
            (
                "203.0.113.1", [],
                "found \"203.0.113.1\", which has an address in common with the VIP 203.0.113.1 in "
                    + "line 4, accepted: addresses of this node"
            ),
            ("203.0.113.0/30", [], "in common with the VIP 203.0.113.1 in line 4"),
            ("10.0.0.1", [], "in common with the backend 10.0.0.1 in line 4"),
        ] as [(String, [String], String?)])
    func `NAT addresses are the node's own, each once, as many as there are tables`(
        addresses: String, expected: [String], complaint: String?
    ) throws {
        let text = file(
            [service("203.0.113.1", "port: 80", "full-nat", backends: "10.0.0.1, port: 8080")],
            addresses: addresses)
        guard let complaint else {
            let state = try parse(text, file: "m.yaml")
            #expect(state.natAddresses.map(\.description) == expected)
            return
        }
        let found = errors(text)
        #expect(found.count == 1, "\(found)")
        #expect(found.first?.contains(complaint) == true, "\(found)")
    }

    @Test func `there are as many NAT addresses as a plane holds, and none more`() {
        let blocks =
            "10.9.0.0/25, 10.9.1.0/26, 10.9.2.0/27, 10.9.3.0/28, 10.9.4.0/29, 10.9.5.0/30, "
            + "10.9.6.0/31, 10.9.7.0"
        #expect(
            errors(file([], addresses: blocks).replacing("services:", with: "services: []")) == [])
        #expect(
            errors(
                file([], addresses: blocks + ", 10.9.7.1").replacing(
                    "services:", with: "services: []")
            ).first?.contains("nat-addresses[8]: found 1 addresses after 255") == true)
        #expect(Limits.natAddresses < Int(Plan.Capacity().natAddresses))
        #expect(Limits.natReturns == Plan.Capacity().returns)
    }

    @Test(arguments: [("203.0.113.1", "2001:db8::10"), ("\"2001:db8::1\"", "192.0.2.10")])
    func `full-nat needs a NAT address of its family`(vip: String, other: String) {
        let backend = vip.contains(":") ? "\"2001:db8::2\"" : "10.0.0.1"
        let own = service(vip.replacing("\"", with: ""), "port: 80", "full-nat", backends: backend)
        for addresses in [nil, "\"\(other)\""] {
            let found = errors(file([own], addresses: addresses))
            #expect(found.count == 1)
            #expect(
                found.first?.contains("services[0].forwarding: found full-nat for IPv") == true,
                "\(found)")
        }
        #expect(
            errors(file([own], addresses: "192.0.2.10, \"2001:db8::10\"")) == [])
    }

    @Test(arguments: [
        ("203.0.113.0/28", "port: 80", "10.0.0.1", "services[0].vip: found the prefix"),
        ("203.0.113.1", "port: any", "10.0.0.1", nil),
        ("203.0.113.1", "ports: [80, 443]", "10.0.0.1", nil),
        (
            "203.0.113.1", "ports: [80, 443]", "10.0.0.1, port: 8080",
            "backends[0].port: found the key in a service with several ports"
        ),
        (
            "203.0.113.1", "port: any", "10.0.0.1, port: 8080",
            "backends[0].port: found the key in a service with port: any"
        ),
        ("203.0.113.1", "port: 80", "10.0.0.1, port: 0", "backends[0].port: found 0"),
        ("203.0.113.1", "port: 80", "10.0.0.1, port: any", "backends[0].port: found \"any\""),
        ("203.0.113.1", "port: 80", "10.0.0.1, port: 65535", nil),
    ])
    func `with nat an answer says which address and port it is from; full-nat knows by itself`(
        vip: String, ports: String, backend: String, complaint: String?
    ) {
        let found = errors(file([service(vip, ports, backends: backend)]))
        #expect(found.count == (complaint == nil ? 0 : 1), "\(found)")
        #expect(found.allSatisfy { $0.contains(complaint ?? "nothing") }, "\(found)")
        let isWrongPort =
            complaint?.contains("port: found 0") == true
            || complaint?.contains("any\"") == true
        let full = errors(file([service(vip, ports, "full-nat", backends: backend)]))
        #expect(full.isEmpty == !isWrongPort, "\(full)")
    }

    @Test(arguments: ["l2-dsr", "ipip", "gue"])
    func `only the NAT modes have ports of backends`(mode: String) {
        let found = errors(
            file([service("203.0.113.1", "port: 80", mode, backends: "10.0.0.1, port: 8080")]))
        #expect(
            found == [
                "m.yaml:4:\(103 + mode.utf8.count): services[0].backends[0].port: found the key "
                    + "with forwarding: \(mode), accepted: it with forwarding: nat or full-nat only"
            ])
    }

    @Test(
        arguments: [
            // The same backend behind two VIPs, or two ports of one.
            ("203.0.113.1", "port: 80", "", "203.0.113.2", "port: 80", "", "80"),
            ("203.0.113.1", "port: 80", "", "203.0.113.2", "port: 81", "", nil),
            ("203.0.113.1", "port: 80", "", "203.0.113.2", "port: 80, protocol: udp", "", nil),
            (
                "203.0.113.1", "port: 80", ", port: 8080", "203.0.113.1", "port: 81",
                ", port: 8080", "8080"
            ),
            (
                "203.0.113.1", "port: 80", ", port: 8080", "203.0.113.1", "port: 81",
                ", port: 8081", nil
            ),
            ("203.0.113.1", "port: 80", ", port: 81", "203.0.113.1", "port: 81", "", "81"),
            ("203.0.113.1", "ports: 80-90", "", "203.0.113.2", "ports: 85-95", "", "85-90"),
            // Any port: of the same VIP without what the other one has, of another VIP with it.
            ("203.0.113.1", "port: any", "", "203.0.113.1", "port: 80", "", nil),
            ("203.0.113.1", "port: 80", "", "203.0.113.1", "port: any", "", nil),
            ("203.0.113.1", "port: any", "", "203.0.113.1", "port: 80", ", port: 8080", "8080"),
            ("203.0.113.1", "port: any", "", "203.0.113.2", "port: 80", "", "80"),
            ("203.0.113.1", "port: 80", "", "203.0.113.2", "port: any", "", "80"),
            ("203.0.113.1", "port: any", "", "203.0.113.2", "port: any", "", "any"),
        ] as [(String, String, String, String, String, String, String?)])
    func `no two nat services get answers that nothing tells apart`(
        vip: String, ports: String, port: String, otherVIP: String, otherPorts: String,
        otherPort: String, common: String?
    ) {
        let file = { (mode: String) in
            self.file([
                self.service(vip, ports, mode, backends: "10.0.0.1\(port)"),
                self.service(otherVIP, otherPorts, backends: "10.0.0.2", "10.0.0.1\(otherPort)"),
            ])
        }
        let found = errors(file("nat"))
        #expect(found.count == (common == nil ? 0 : 1), "\(found)")
        #expect(
            found.allSatisfy {
                $0.contains(
                    "services[1].backends[1].address: found answers from "
                        + "10.0.0.1:\(common ?? "")/tcp, which are those of the backend in "
                        + "line 4, too"
                )
            }, "\(found)")
        if !(port.isEmpty == false && ports == "port: any") {
            #expect(errors(file("full-nat")).isEmpty)
        }
    }

    @Test func `ports of backends count up to their limit, and none above`() {
        let many = { (ports: Int) in
            self.service(
                "203.0.113.1", "ports: 1-\(ports)", backends: "10.0.0.1", "10.0.0.2", "10.0.0.3",
                "10.0.0.4")
        }
        #expect(errors(file([many(16384)])) == [])
        let found = errors(
            file([many(16384), service("203.0.113.2", "port: any", backends: "10.0.0.9")]))
        #expect(found.count == 1)
        #expect(
            found.first?.contains(
                "services[1].backends: found 1 backends with 1 ports each after 65536 ports")
                == true,
            "\(found)")
    }
}
