import Balancing
import ConfigurationFile
import Packets
import Testing

/// What services have together: VIPs, ports, limits.
struct TogetherTests {
    private func service(_ name: String, _ vip: String, _ rest: String) -> String {
        "  - { name: \(name), vip: \"\(vip)\", \(rest), forwarding: ipip, "
            + "backends: [{ name: a, address: 10.0.0.1 }] }\n"
    }

    private func file(_ services: (vip: String, rest: String)...) -> String {
        "interfaces: [eth1]\nservices:\n"
            + services.enumerated().map {
                service("s\($0.offset)", $0.element.vip, $0.element.rest)
            }.joined()
    }

    @Test(
        arguments: [
            ("ports: 8000-8100", "ports: 8101-8200", nil),
            ("ports: 8000-8100", "ports: 8100-8200", "8100"),
            ("ports: 8000-8100", "port: 8050", "8050"),
            ("ports: [80, 8000-8100]", "ports: [79-90, 8090-9000]", "80,8090-8100"),
            ("port: any", "port: any", "any"), ("port: any", "ports: 1-65535", nil),
            ("ports: 80-90", "ports: 80-90, protocol: udp", nil),
        ] as [(String, String, String?)])
    func `two services may not share a port`(first: String, second: String, common: String?) {
        let found = errors(file(("203.0.113.0/28", first), ("203.0.113.0/28", second)))
        guard let common else {
            #expect(found == [])
            return
        }
        #expect(found.count == 1)
        #expect(
            found.first?.contains(
                "m.yaml:4:22: services[1].vip: found 203.0.113.0/28:\(common)/tcp, which the "
                    + "service in line 3 has already") == true, "\(found)")
    }

    @Test(
        arguments: [
            ("203.0.113.0/28", "203.0.113.0", false), ("203.0.113.0/28", "203.0.113.0/29", false),
            ("203.0.113.0", "203.0.113.0/24", false), ("203.0.113.0/28", "203.0.113.1", true),
            ("203.0.113.0/28", "203.0.113.8/29", true), ("203.0.113.0/28", "203.0.113.0/28", true),
            ("2001:db8::/64", "2001:db8::", false), ("2001:db8::/64", "2001:db8::1", true),
        ])
    func `VIPs lie inside one another, but not on the same first address`(
        first: String, second: String, isAccepted: Bool
    ) {
        let found = errors(file((first, "port: 80"), (second, "port: 81")))
        #expect(found.isEmpty == isAccepted)
        #expect(
            found.allSatisfy {
                $0.contains("services[1].vip: found \"\(second)\", which begins like the VIP")
            }, "\(found)")
    }

    @Test func `a VIP has its settings in all of its services`() throws {
        let text = file(
            ("203.0.113.0/28", "port: 80"), ("203.0.113.7", "port: 80"),
            ("203.0.113.0/28", "port: 81"))
        let state = try parse(
            text + "vips: [{ address: 203.0.113.0/28, ping: kernel, other-ports: drop }]\n",
            file: "m.yaml")
        let own = VIP.Settings(ping: .kernel, otherPorts: .drop)
        #expect(state.services.map(\.vip.settings) == [own, VIP.Settings(), own])
    }

    @Test func `a service's tunnel source comes before the one for all`() throws {
        let text = file(
            ("203.0.113.1", "port: 80"),
            ("203.0.113.2", "port: 80, tunnel-source: 172.17.0.0/16"))
        let state = try parse("tunnel-source: 172.16.0.0/16\n" + text, file: "m.yaml")
        #expect(
            state.services.map { $0.tunnel.sources.map(\.description) }
                == [["172.16.0.0/16"], ["172.17.0.0/16"]])
        #expect(state.services.map(\.tunnel.port) == [nil, nil])
    }

    @Test func `GUE has the port that decapsulate listens to, unless another is named`() throws {
        let text = file(("203.0.113.1", "port: 80"), ("203.0.113.2", "port: 80, tunnel-port: 7000"))
        let state = try parse(text.replacing("ipip", with: "gue"), file: "m.yaml")
        #expect(state.services.map(\.tunnel.port) == [6080, 7000])
    }

    @Test func `an access list that allows some denies the others`() throws {
        let list = { (text: String) in
            try #require(
                try parse(
                    self.file(("203.0.113.1", "port: 80, access: { \(text) }")), file: "m.yaml"
                ).services.first?.access)
        }
        let both = try list("allow: [10.0.0.0/8], deny: [10.1.0.0/16]")
        #expect(both.others == .denied)
        #expect(both.rules.count == 2)
        #expect(try list("deny: [10.1.0.0/16]").others == .allowed)
        for (client, isAllowed) in [("10.2.0.1", true), ("10.1.0.1", false), ("11.0.0.1", false)] {
            #expect(both.allows(try #require(IPAddress(client))) == isAllowed)
        }
    }

    @Test func `ports count up to the limit of a family, and none above`() {
        let all = ("203.0.113.1", "ports: 1-65535")
        #expect(errors(file(all, ("203.0.113.2", "port: any"))) == [])
        let found = errors(file(all, ("203.0.113.2", "port: any"), ("203.0.113.3", "port: 80")))
        #expect(found.count == 1)
        #expect(
            found.first?.contains(
                "services[2].port: found 1 ports after 65536 of other services of IPv4") == true,
            "\(found)")
        #expect(errors(file(all, ("2001:db8::1", "ports: 1-65535"))) == [])
    }

    @Test func `prefixes of access lists count up to their limit, and none above`() {
        func text(_ count: Int) -> String {
            let half = { (range: Range<Int>) in
                range.map { "10.\($0 >> 16).\($0 >> 8 & 255).\($0 & 255)" }
                    .joined(separator: ", ")
            }
            return file(
                ("203.0.113.1", "port: 80, access: { allow: [\(half(0..<1000))] }"),
                ("203.0.113.2", "port: 80, access: { deny: [\(half(1000..<count))] }"))
        }
        #expect(errors(text(Limits.accessPrefixes)) == [])
        let found = errors(text(Limits.accessPrefixes + 1))
        #expect(found.count == 1)
        #expect(
            found.first?.contains(
                "services[1].access.deny[31768]: found number 32769 of 32769 prefixes") == true,
            "\(found.map { $0.prefix(200) })")
    }
}
