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
    ("192.168.1.100", "192.168.1.100/32", nil), ("192.168.1.100", "192.168.2.0/28", nil),
    (
        "192.168.1.100", "192.168.1.9/0",
        "found \"192.168.1.9/0\", which has bits beyond the 0 of the prefix, accepted: an IPv4 or "
            + "IPv6 address, like 192.0.2.1, or a prefix, like 192.0.2.0/28"
    ),
    ("192.168.1.100", "192.168.1.9/30", "(did you mean 192.168.1.8/30?)"),
    ("192.168.1.100", "192.168.1.100/33", "accepted: a length from 0 to 32 after the"),
    ("192.168.1.100", "192.168.1.100/", "accepted: a length from 0 to 32"),
    ("192.168.1.100", "192.168.1.100/028", "accepted: a length from 0 to 32"),
    ("192.168.1.100", "192.168.2.0/28/1", "services[0].vip: found \"192.168.2.0/28/1\""),
    (
        "192.168.1.100", "192.168.2.1/28",
        "which has bits beyond the 28 of the prefix, accepted: an IPv4 or IPv6 address, like "
            + "192.0.2.1, or a prefix, like 192.0.2.0/28 (did you mean 192.168.2.0/28?)"
    ),
    (
        "192.168.1.100", "192.168.1.96/28",
        "backends[0].address: found \"192.168.1.101\", which is in"
    ),
    ("192.168.1.100", "0.0.0.0/0", "which contains an unspecified address"),
    ("192.168.1.100", "192.0.0.0/2", "which contains a multicast"),
    ("192.168.1.100", "126.0.0.0/8", nil), ("192.168.1.100", "126.0.0.0/7", "a loopback address"),
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
    ("port: 80", "port: 80-81", "(did you mean ports: 80-81?)"),
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
    ("l2-dsr", "ipip", nil), ("l2-dsr", "gue", nil),
    ("l2-dsr", "l2-drs", "accepted: l2-dsr, ipip, gue, nat, full-nat (did you mean l2-dsr?)"),
    ("l2-dsr", "nat", nil),
    (
        "l2-dsr", "full-nat",
        "8:17: services[0].forwarding: found full-nat for IPv4, but no IPv4 address in "
            + "nat-addresses, accepted: it with one there"
    ),
    (
        "    forwarding: l2-dsr\n", "",
        "3:5: services[0].forwarding: found nothing, accepted: l2-dsr"
    ),
    ("    vip: 192.168.1.100\n", "", "3:5: services[0].vip: found nothing"),
]

/// The ports of a check that has one of its own.
private let ports: [Change] = [
    ("port: 80", "ports: 80", nil), ("port: 80", "ports: [80]", nil),
    ("port: 80", "ports: 8000-8100", "9:19: services[0].health-check.port: found nothing"),
    ("port: 80", "ports: [80, 443]", "for the service has several ports"),
    ("port: 80", "ports: 1-65535 # {", "health-check.port"),
    ("port: 80", "ports: 0-80", "found \"0-80\", accepted: a number from 1 to 65535, or a range"),
    ("port: 80", "ports: 80-65536", "services[0].ports: found \"80-65536\""),
    ("port: 80", "ports: 8100-8000", "which goes backwards, accepted: a number from"),
    ("port: 80", "ports: 8100-8000", "(did you mean 8000-8100?)"),
    ("port: 80", "ports: 80-80", nil), ("port: 80", "ports: 80-", "found \"80-\""),
    ("port: 80", "ports: 80-81-82", "found \"80-81-82\""),
    ("port: 80", "ports: -80", "ports: found"),
    ("port: 80", "ports: any", "(did you mean port: any?)"),
    ("port: 80", "ports: []", "services[0].ports: found no ports, accepted: one or more"),
    ("port: 80", "ports: [80, x]", "5:17: services[0].ports[1]: found \"x\""),
    ("port: 80", "ports: [80, 443, 440-450]", "services[0].ports[2]: found 440-450, of which a"),
    ("port: 80", "ports: [80, 80]", "found 80, of which a part is in line 5 already"),
    ("port: 80", "ports: { a: 80 }", "services[0].ports: found a mapping"),
    ("port: 80", "port: 80\n    ports: 81", "6:5: services[0].ports: found the key besides port"),
    ("port: 80", "port: 0\n    ports: 81", "5:11: services[0].port: found 0"),
    ("port: 80", "port: 80\n    ports: [81, x]", "6:17: services[0].ports[1]: found \"x\""),
    ("port: 80", "prots: 80", "(did you mean ports?)"),
]

private let tunnels: [Change] = [
    ("l2-dsr", "gue\n    tunnel-port: 1", nil),
    ("l2-dsr", "gue\n    tunnel-port: 0", "services[0].tunnel-port: found 0"),
    ("l2-dsr", "gue\n    tunnel-port: 65535", nil),
    ("l2-dsr", "gue\n    tunnel-port: any", "services[0].tunnel-port: found \"any\""),
    (
        "l2-dsr", "ipip\n    tunnel-port: 6080",
        "9:5: services[0].tunnel-port: found the key with forwarding: ipip, accepted: it with "
            + "forwarding: gue only"
    ),
    ("l2-dsr", "l2-dsr\n    tunnel-port: 6080", "found the key with forwarding: l2-dsr"),
    (
        "l2-dsr", "l2-dsr\n    tunnel-source: 172.16.0.0/16",
        "services[0].tunnel-source: found the key with forwarding: l2-dsr, accepted: it with "
            + "forwarding: ipip or gue only"
    ),
    ("l2-dsr", "ipip\n    tunnel-source: 172.16.0.0/16", nil),
    ("l2-dsr", "gue\n    tunnel-source: 172.16.0.1", nil),
    ("l2-dsr", "gue\n    tunnel-source: 172.16.0.1/16", "(did you mean 172.16.0.0/16?)"),
    ("l2-dsr", "gue\n    tunnel-source: 127.0.0.0/8", "services[0].tunnel-source: found"),
    ("l2-dsr", "gue\n    tunnel-source: [172.16.0.0/16, 2001:db8::/64]", nil),
    ("l2-dsr", "gue\n    tunnel-source: []", "services[0].tunnel-source: found no addresses"),
    (
        "l2-dsr", "gue\n    tunnel-source: [172.16.0.0/16, 172.17.0.0/16]",
        "tunnel-source[1]: found \"172.17.0.0/16\", IPv4 like the one in line 9"
    ),
    ("services:", "tunnel-source: [172.16.0.0/16, 2001:db8::/64]\nservices:", nil),
    ("services:", "tunnel-source: x\nservices:", "2:16: tunnel-source: found \"x\""),
]

/// In the place of the protocol, which has a default.
private let access: [Change] = [
    ("protocol: tcp", "access: { allow: [10.0.0.0/8] }", nil),
    ("protocol: tcp", "access: { deny: [10.0.0.0/8, 192.0.2.1, 0.0.0.0/0] }", nil),
    ("protocol: tcp", "access: { allow: [10.0.0.0/8], deny: [10.1.0.0/16] }", nil),
    ("protocol: tcp", "access: {}", "services[0].access: found neither allow nor deny"),
    ("protocol: tcp", "access: { allow: [] }", "services[0].access.allow: found no prefixes"),
    ("protocol: tcp", "access: { allow: 10.0.0.0/8 }", "services[0].access.allow: found \"10"),
    ("protocol: tcp", "access: [10.0.0.0/8]", "services[0].access: found a list"),
    ("protocol: tcp", "access: { alow: [10.0.0.0/8] }", "(did you mean allow?)"),
    (
        "protocol: tcp", "access: { allow: [10.0.0.1/8] }",
        "6:23: services[0].access.allow[0]: found \"10.0.0.1/8\", which has bits beyond the 8"
    ),
    ("protocol: tcp", "access: { deny: [x] }", "services[0].access.deny[0]: found \"x\""),
    (
        "protocol: tcp", "access: { allow: [10.0.0.0/8], deny: [10.0.0.0/8] }",
        "6:43: services[0].access.deny[0]: found \"10.0.0.0/8\", which is in line 6 already"
    ),
    (
        "protocol: tcp", "access: { allow: [\"2001:db8::/32\"] }",
        "allow[0]: found \"2001:db8::/32\", IPv6 for a VIP of IPv4, accepted: IPv4"
    ),
    ("protocol: tcp", "access: { deny: [\"::ffff:10.0.0.0/104\"] }", "IPv4 in the form of IPv6"),
]

private let vips: [Change] = [
    ("services:", "vips: []\nservices:", nil),
    ("services:", "vips: [{ address: 192.168.1.100, ping: kernel }]\nservices:", nil),
    ("services:", "vips: [{ address: 192.168.1.100, other-ports: drop }]\nservices:", nil),
    (
        "services:", "vips: [{ address: 192.168.1.100, ping: never }]\nservices:",
        "2:40: vips[0].ping: found \"never\", accepted: answer, kernel"
    ),
    (
        "services:", "vips: [{ address: 192.168.1.100, other-ports: dorp }]\nservices:",
        "vips[0].other-ports: found \"dorp\", accepted: pass, drop (did you mean drop?)"
    ),
    (
        "services:", "vips: [{ address: 192.168.1.99 }]\nservices:",
        "2:19: vips[0].address: found \"192.168.1.99\", which no service has"
    ),
    ("services:", "vips: [{ ping: kernel }]\nservices:", "vips[0].address: found nothing"),
    (
        "services:", "vips: 192.168.1.100\nservices:",
        "vips: found \"192.168.1.100\", accepted: a list"
    ),
    (
        "services:", "vips: [{ address: 192.168.1.100 }, { address: 192.168.1.100/32 }]\nservices:",
        "vips[1].address: found \"192.168.1.100\", which is in line 2 already"
    ),
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
    ("interval: 1s", "interval: 1h", nil),
    ("interval: 1s", "interval: 1 hour", "(did you mean 1h?)"),
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
    @Test(
        arguments: services + ports + tunnels + access + vips + healthChecks + backends + node)
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
        (.ipip, .v6, .v6), (.gue, .v4, .v4), (.gue, .v4, .v6), (.gue, .v6, .v4), (.gue, .v6, .v6),
        (.nat, .v4, .v4), (.nat, .v4, .v6), (.nat, .v6, .v4), (.nat, .v6, .v6),
        (.fullNAT, .v4, .v4), (.fullNAT, .v4, .v6), (.fullNAT, .v6, .v4), (.fullNAT, .v6, .v6),
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
            nat-addresses: [192.0.2.10, "2001:db8::10"]
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
            tooMany.first?.contains("services[3].backends[4095]: found number 16384 of") == true)
        #expect(errors(file(Array(repeating: 1, count: 16383))) == [])
        #expect(
            errors(file(Array(repeating: 1, count: 16384))).first?
                .contains("services[16383]: found number 16384 of 16384 services") == true)
    }
}
