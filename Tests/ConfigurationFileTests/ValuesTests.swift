import Balancing
import ConfigurationFile
import Packets
import Testing

/// A value of the example, what takes its place, and the complaint; nil: it is accepted.
private typealias Change = (old: String, new: String, complaint: String?)

private let services: [Change] = [
    ("name: web", "name: 0.A_b-c", nil),
    ("name: web", "name: -web", "3:11: services[0].name: found \"-web\""),
    ("name: web", "name: " + String(repeating: "w", count: 63), nil),
    ("name: web", "name: " + String(repeating: "w", count: 64), "services[0].name: found \"www"),
    ("name: web", "name: wéb", "services[0].name: found \"wéb\""),
    ("name: web", "name: we/b", "services[0].name"),
    ("name: web", "name: \"\"", "services[0].name: found \"\""),
    ("name: web", "name: \"a\\e[31m\"", "found \"a\\u{1B}[31m\""),
    ("name: web", "name:", "services[0].name: found nothing"),
    ("name: web", "name: null", "services[0].name: found nothing"),
    ("name: web", "name: \"null\"", nil),
    ("name: web", "name: no", nil), ("name: web", "name: 0123", nil),
    ("name: web", "name: [web]", "services[0].name: found a list"),
    ("192.168.1.100", "192.168.1.254", nil),
    ("192.168.1.100", "192.168.1.256", "services[0].vip: found \"192.168.1.256\""),
    ("192.168.1.100", "192.168.1.100/32", "(did you mean 192.168.1.100?)"),
    ("192.168.1.100", "192.168.1.100:80", "(did you mean 192.168.1.100?)"),
    ("192.168.1.100", "\"[2001:db8::1]:80\"", "(did you mean 2001:db8::1?)"),
    ("192.168.1.100", "1.0.0.0", nil), ("192.168.1.100", "0.255.255.255", "an unspecified address"),
    ("192.168.1.100", "126.255.255.255", nil), ("192.168.1.100", "127.0.0.1", "a loopback address"),
    ("192.168.1.100", "128.0.0.0", nil), ("192.168.1.100", "127.255.255.255", "a loopback"),
    ("192.168.1.100", "169.253.255.255", nil), ("192.168.1.100", "169.254.0.0", "a link-local"),
    ("192.168.1.100", "169.255.0.0", nil), ("192.168.1.100", "169.254.255.255", "a link-local"),
    ("192.168.1.100", "223.255.255.255", nil), ("192.168.1.100", "224.0.0.0", "a multicast"),
    ("192.168.1.100", "240.0.0.0", "a reserved address"),
    ("192.168.1.100", "255.255.255.255", "the broadcast address"),
    ("port: 80", "port: 1", nil), ("port: 80", "port: 0", "services[0].port: found 0, accepted"),
    ("port: 80", "port: 65535", nil),
    ("port: 80", "port: 65536", "found 65536, accepted: a number from 1 to 65535, or any"),
    ("port: 80", "port: 080", "(did you mean 80?)"), ("port: 80", "port: 0x50", "services[0].port"),
    ("port: 80", "port: 8_0", "services[0].port"), ("port: 80", "port: 80.0", "services[0].port"),
    ("port: 80", "port: +80", "services[0].port"), ("port: 80", "port: -1", "services[0].port"),
    ("port: 80", "port: \"80\"", "found \"80\" in quotes"),
    ("port: 80", "port: 99999999999999999999", "services[0].port"),
    ("port: 80", "port: [80]", "services[0].port: found a list"),
    ("port: 80", "port: ANY", "(did you mean any?)"),
    ("port: 80", "port: *http", "found the alias \"*http\", which is not supported"),
    ("port: 80", "port: &http 80", nil),
    ("port: 80", "port: !!int 80", "found the tag \"tag:yaml.org,2002:int\""),
    ("protocol: tcp", "protocol: udp", nil), ("    protocol: tcp\n", "", nil),
    ("protocol: tcp", "protocol: TCP", "services[0].protocol: found \"TCP\", accepted: tcp, udp "),
    ("protocol: tcp", "protocol: sctp", "found \"sctp\", accepted: tcp, udp"),
    ("protocol: tcp", "protocol: tpc", "(did you mean tcp?)"),
    ("protocol: tcp", "protocol: 6", "services[0].protocol: found 6, accepted: tcp, udp"),
    ("scheduler: maglev", "scheduler: maglve", "(did you mean maglev?)"),
    ("    scheduler: maglev\n", "", nil),
    ("l2-dsr", "ipip", nil),
    ("l2-dsr", "l2-drs", "accepted: l2-dsr, ipip, gue (did you mean l2-dsr?)"),
    (
        "    forwarding: l2-dsr\n", "",
        "3:5: services[0].forwarding: found nothing, accepted: l2-dsr"
    ),
    ("    vip: 192.168.1.100\n", "", "3:5: services[0].vip: found nothing"),
]

private let healthChecks: [Change] = [
    (
        "type: http", "type: tcp",
        "9:32: services[0].health-check.path: found the key with type: tcp"
    ),
    ("type: http, path: /healthz", "type: tcp", nil),
    ("type: http, path: /healthz", "type: tcp, host: a", "services[0].health-check.host"),
    ("type: http, ", "", "services[0].health-check.type: found nothing, accepted: tcp, http"),
    ("path: /healthz", "host: www.example.org:8080", nil),
    ("path: /healthz", "host: \"a b\"", "services[0].health-check.host: found \"a b\""),
    ("/healthz", "/a?b=*&c=%20", nil), ("/healthz", "healthz", "services[0].health-check.path"),
    ("/healthz", "\"/a b\"", "services[0].health-check.path"),
    ("/healthz", "\"/a\\r\\nHost: b\"", "found \"/a\\r\\nHost: b\""),
    ("/healthz", "/é", "services[0].health-check.path"),
    ("/healthz", "/" + String(repeating: "a", count: 1023), nil),
    ("/healthz", "/" + String(repeating: "a", count: 1024), "services[0].health-check.path"),
    ("/healthz", "/healthz, port: 65535", nil),
    ("/healthz", "/healthz, port: 65536", "health-check.port: found 65536"),
    ("/healthz", "/healthz, port: any", "health-check.port: found \"any\""),
    ("port: 80", "port: any", "9:19: services[0].health-check.port: found nothing"),
    ("interval: 1s", "interval: 500ms", nil),
    ("interval: 1s", "interval: 499ms", "timeout: found \"500ms\", accepted: at most the interval"),
    ("interval: 1s, timeout: 500ms", "timeout: 2s", nil),
    ("interval: 1s, timeout: 500ms", "timeout: 2001ms", "the interval (2s, the default)"),
    ("interval: 1s, timeout: 500ms", "interval: 10ms", nil),
    ("interval: 1s, timeout: 500ms", "interval: 9ms", "health-check.interval: found \"9ms\""),
    ("interval: 1s", "interval: 60m", nil), ("interval: 1s", "interval: 3600s", nil),
    ("interval: 1s", "interval: 61m", "health-check.interval"),
    ("interval: 1s", "interval: 3601s", "health-check.interval"),
    ("interval: 1s", "interval: 999999999999999999999m", "health-check.interval"),
    ("interval: 1s", "interval: 1", "found 1, accepted: a duration"),
    ("interval: 1s", "interval: 1", "(did you mean 1s?)"),
    ("interval: 1s", "interval: 500", "(did you mean 500ms?)"),
    ("interval: 1s", "interval: 1.5s", "(did you mean 1500ms?)"),
    ("interval: 1s", "interval: 1 s", "(did you mean 1s?)"),
    ("interval: 1s", "interval: 1h", "(did you mean 60m?)"),
    ("interval: 1s", "interval: 01s", "(did you mean 1s?)"),
    ("interval: 1s", "interval: -1s", "health-check.interval: found \"-1s\""),
    ("rise: 2", "rise: 1", nil), ("rise: 2", "rise: 0", "health-check.rise: found 0"),
    ("fall: 2", "fall: 100", nil), ("fall: 2", "fall: 101", "health-check.fall: found 101"),
    ("rise: 2", "raise: 2", "(did you mean rise?)"),
    ("health-check: {", "health_check: {", "services[0].health_check: found an unknown key"),
    ("health-check: {", "health-check: #", "9:18: services[0].health-check: found nothing"),
]

private let backends: [Change] = [
    ("weight: 2", "weight: 0", nil), ("weight: 2", "weight: -1", "backends[1].weight: found -1"),
    ("weight: 2", "weight: 65535", nil),
    ("weight: 2", "weight: 65536", "found 65536, accepted: a number from 0 to 65535"),
    ("weight: 2", "weight: 1.5", "backends[1].weight: found \"1.5\""),
    ("192.168.1.102", "192.168.1.104", nil),
    ("192.168.1.102", "192.168.1.101", "\"192.168.1.101\", which is in line 11 already"),
    ("192.168.1.102", "192.168.1.100", "found \"192.168.1.100\", which is the VIP"),
    ("192.168.1.102", "fd00::2", "found \"fd00::2\", IPv6 behind a VIP of IPv4"),
    ("192.168.1.102", "224.0.0.1", "backends[1].address: found \"224.0.0.1\", a multicast address"),
    ("name: server-b", "name: server-a", "found \"server-a\", which is in line 11 already"),
    ("name: server-b", "name: server-A", nil),
    ("name: server-b, ", "", "12:9: services[0].backends[1].name: found nothing"),
    (", address: 192.168.1.102", "", "services[0].backends[1].address: found nothing"),
    ("    backends:", "    backend:", "(did you mean backends?)"),
]

private let tunnelsAndAccess: [Change] = [
    ("forwarding: l2-dsr", "forwarding: gue", nil),
    ("forwarding: l2-dsr", "forwarding: gue\n    tunnel-port: 7000", nil),
    (
        "forwarding: l2-dsr", "forwarding: gue\n    tunnel-port: 0",
        "tunnel-port: found 0, accepted: a"
    ),
    (
        "forwarding: l2-dsr", "forwarding: ipip\n    tunnel-port: 7000",
        "tunnel-port: found the key with forwarding: ipip, accepted: it with forwarding: gue only"
    ),
    ("port: 80", "port: 80\n    access: { allow: [198.51.100.0/24] }", nil),
    ("port: 80", "port: 80\n    access: { allow: [0.0.0.0/0], deny: [198.51.100.7] }", nil),
    (
        "port: 80", "port: 80\n    access: {}",
        "services[0].access: found a mapping, accepted: a list"
    ),
    (
        "port: 80", "port: 80\n    access: { deny: [] }",
        "access.deny: found 0 prefixes, accepted: 1"
    ),
    (
        "port: 80", "port: 80\n    access: { deny: [198.51.100.7/24] }",
        "access.deny[0]: found \"198.51.100.7/24\", which has bits behind the prefix, accepted: an "
            + "address or a prefix, like 198.51.100.0/24 (did you mean 198.51.100.0/24?)"
    ),
    ("port: 80", "port: 80\n    access: { deny: [198.51.100.0/33] }", "access.deny[0]: found"),
    ("port: 80", "port: 80\n    access: { deny: [198.51.100.0/024] }", "access.deny[0]: found"),
    ("port: 80", "port: 80\n    access: { deny: [2001:db8::/32] }", "IPv6 before a VIP of IPv4"),
    (
        "port: 80", "port: 80\n    access: { allow: [192.0.2.0/24], deny: [192.0.2.0/24] }",
        "access.deny[0]: found \"192.0.2.0/24\", which is in line 6 already"
    ),
    ("port: 80", "port: 80\n    access: { permit: [192.0.2.0/24] }", "found an unknown key"),
]

private let node: [Change] = [
    ("[eth1]", "[eth1, eth2]", nil), ("[eth1]", "[eth1, eth1]", "1:20: interfaces[1]: found"),
    ("[eth1]", "[]", "1:13: interfaces: found 0 interfaces, accepted: 1 to 255"),
    ("[eth1]", "eth1", "interfaces: found \"eth1\", accepted: a list of interface names"),
    ("[eth1]", "[an-interface-16]", nil), ("[eth1]", "[an-interface-161]", "interfaces[0]: found"),
    ("[eth1]", "[eth1.100]", nil), ("[eth1]", "[eth/1]", "interfaces[0]: found \"eth/1\""),
    ("[eth1]", "[eth 1]", "interfaces[0]"), ("[eth1]", "[\"eth:1\"]", "interfaces[0]"),
    ("[eth1]", "[\"..\"]", "interfaces[0]"), ("[eth1]", "[\"a\\u00a0\"]", "interfaces[0]"),
    ("services:", "attach-mode: native\nservices:", nil),
    ("services:", "attach-mode: generic\nservices:", nil),
    ("services:", "attach-mode: auto\nservices:", nil),
    ("services:", "attach-mode: skb\nservices:", "found \"skb\", accepted: native, generic, auto"),
    ("services:", "colour: red\nservices:", "2:1: colour: found an unknown key, accepted: attach"),
    ("services:", "\"a b\": red\nservices:", "2:1: \"a b\": found an unknown key"),
    ("services:", "[a]: red\nservices:", "2:1: found a list as a key"),
    ("services:", "service:", "(did you mean services?)"),
]

struct ValuesTests {
    @Test(arguments: services + healthChecks + backends + tunnelsAndAccess + node)
    func `each value is accepted, or refused in its place`(
        old: String, new: String, complaint: String?
    ) throws {
        let text = try #require(changed(old, new))
        let found = errors(text)
        if let complaint {
            #expect(found.contains { $0.contains(complaint) }, "\(new): \(found)")
        } else {
            #expect(found == [], "\(new)")
        }
    }

    @Test(
        arguments: [
            ("2001:db8::100", nil), ("::1", "the loopback address"), ("::", "the unspecified"),
            ("::ffff:192.0.2.1", "an IPv4 address in the form of IPv6"), ("fe7f::1", nil),
            ("fe80::1", "a link-local address"), ("febf::1", "a link-local address"),
            ("fec0::1", nil), ("feff::1", nil), ("ff00::1", "a multicast address"),
        ] as [(String, String?)])
    func `an IPv6 VIP is one that others reach`(vip: String, complaint: String?) throws {
        let text = try #require(changed("192.168.1.100", "\"\(vip)\""))
        let found = errors(text.replacing("l2-dsr", with: "ipip"))
        #expect(found.count == (complaint == nil ? 0 : 1))
        #expect(found.allSatisfy { $0.contains(complaint ?? "nothing") }, "\(found)")
    }

    @Test(arguments: [
        (Forwarding.l2DSR, IPFamily.v4, IPFamily.v4), (.l2DSR, .v4, .v6), (.l2DSR, .v6, .v4),
        (.l2DSR, .v6, .v6), (.ipip, .v4, .v4), (.ipip, .v4, .v6), (.ipip, .v6, .v4),
        (.ipip, .v6, .v6),
    ])
    func `a backend is of a family that the forwarding mode reaches`(
        forwarding: Forwarding, vip: IPFamily, backend: IPFamily
    ) {
        let addresses: [IPFamily: [String]] = [
            .v4: ["192.0.2.1", "192.0.2.2"], .v6: ["2001:db8::1", "2001:db8::2"],
        ]
        let found = errors(
            """
            interfaces: [eth1]
            services:
              - name: web
                vip: \(addresses[vip]?[0] ?? "")
                port: any
                forwarding: \(forwarding.rawValue)
                backends: [{ name: a, address: \(addresses[backend]?[1] ?? "") }]
            """)
        #expect(found.isEmpty == forwarding.reaches(backend, from: vip), "\(found)")
    }

    @Test func `every service and backend count up to its limit, and none above`() {
        let backend = { (number: Int) in
            "{ name: b\(number), address: 10.0.\(number >> 8).\(number & 255) }"
        }
        let service = { (number: Int, backends: Int) in
            "  - { name: s\(number), vip: 10.1.\(number >> 8).\(number & 255), port: 80, "
                + "forwarding: ipip, backends: ["
                + (0..<backends).map(backend).joined(separator: ",") + "] }\n"
        }
        let file = { (counts: [Int]) in
            "interfaces: [eth1]\nservices:\n"
                + counts.enumerated().map { service($0.offset, $0.element) }.joined()
        }
        #expect(errors(file([0])).first?.contains("backends: found no backends") == true)
        #expect(errors(file([4096])) == [])
        #expect(errors(file([4097])).first?.contains("services[0].backends[4096]: found") == true)
        #expect(errors(file([4096, 4096, 4096, 4095])) == [])
        let tooMany = errors(file([4096, 4096, 4096, 4096]))
        #expect(tooMany.count == 1)
        #expect(
            tooMany.first?.contains("services[3].backends[4095]: found the first of 16384") == true)
        #expect(errors(file(Array(repeating: 1, count: 4095))) == [])
        #expect(
            errors(file(Array(repeating: 1, count: 4096))).first?
                .contains("services[4095]: found the first of 4096 services") == true)
    }
}
