import Balancing
import Configuration
import Packets
import Testing

private let example = """
    interfaces: [eth1]
    services:
      - name: web
        vip: 192.168.1.100
        port: 80
        protocol: tcp
        scheduler: maglev
        forwarding: l2-dsr
        health-check: { type: http, path: /healthz, interval: 1s, timeout: 500ms, rise: 2, fall: 2 }
        backends:
          - { name: server-a, address: 192.168.1.101 }
          - { name: server-b, address: 192.168.1.102, weight: 2 }
          - { name: server-c, address: 192.168.1.103 }
    """

/// What is wrong with `text`, a line for each error.
private func errors(_ text: String) -> [String] {
    do {
        _ = try parse(text, file: "m.yaml")
        return []
    } catch {
        return "\(error)".split(separator: "\n").map(String.init)
    }
}

/// The example with `old` replaced by `new`.
private func changed(_ old: String, _ new: String) -> String {
    guard let range = example.firstRange(of: old) else { return "" }
    return example.replacingCharacters(range, new)
}

extension String {
    fileprivate func replacingCharacters(_ range: Range<Index>, _ new: String) -> String {
        self[..<range.lowerBound] + new + self[range.upperBound...]
    }
}

struct ParseTests {
    @Test func `the example means what it says`() throws {
        let state = try parse(example, file: "m.yaml")
        let service = try #require(state.services.first)
        #expect(state.interfaces == ["eth1"])
        #expect(state.attachMode == .native)
        #expect(service.key.description == "192.168.1.100:80/tcp")
        #expect(service.forwarding == .l2DSR)
        #expect(
            service.healthCheck
                == HealthCheck(
                    probe: .http(path: "/healthz", host: nil), port: 80, interval: .seconds(1),
                    timeout: .milliseconds(500), rise: 2, fall: 2))
        #expect(service.backends.map(\.name) == ["server-a", "server-b", "server-c"])
        #expect(service.backends.map(\.weight) == [1, 2, 1])
    }

    @Test(
        arguments: [
            ("port: 80", "port: any", "health-check: found no key port"),
            ("port: 80", "port: 65535", nil), ("port: 80", "port: 65536", "services[0].port"),
            ("port: 80", "port: 0", "services[0].port"),
            ("port: 80", "port: 080", "services[0].port"),
            ("port: 80", "port: [80]", "services[0].port: found a list"),
            ("weight: 2", "weight: 65535", nil),
            ("weight: 2", "weight: 65536", "backends[1].weight"),
            ("weight: 2", "weight: -1", "backends[1].weight"), ("weight: 2", "weight: 0", nil),
            ("weight: 2", "weight: 1.5", "backends[1].weight"),
            ("192.168.1.100", "192.168.1.300", "services[0].vip"),
            ("192.168.1.100", "127.0.0.1", "services[0].vip"),
            ("192.168.1.100", "224.0.0.1", "services[0].vip"),
            ("192.168.1.100", "fd00::1", "found IPv4 behind a VIP of IPv6"),
            ("192.168.1.102", "192.168.1.101", "found address 192.168.1.101 again, after line 11"),
            ("192.168.1.102", "192.168.1.100", "found the VIP itself"),
            ("192.168.1.102", "fd00::2", "found IPv6 behind a VIP of IPv4"),
            ("server-b", "server-a", "found name server-a again"),
            ("server-b", "-b", "backends[1].name"), ("l2-dsr", "ipip", nil),
            ("l2-dsr", "l2-drs", "(did you mean l2-dsr?)"),
            ("scheduler", "schedular", "(did you mean scheduler?)"),
            ("interval: 1s", "interval: 10ms, #", "found"),
            ("interval: 1s", "interval: 499ms", "timeout"),
            ("interval: 1s", "interval: 500ms", nil), ("interval: 1s", "interval: 61m", "interval"),
            ("interval: 1s", "interval: 1", "a number with ms, s or m"),
            ("rise: 2", "rise: 0", "rise"), ("rise: 2", "rise: 100", nil),
            ("rise: 2", "rise: 101", "rise"),
            ("type: http", "type: tcp", "path with type: tcp"), ("/healthz", "healthz", "path"),
            ("[eth1]", "[]", "interfaces: found 0 entries"), ("[eth1]", "eth1", "interfaces"),
            ("[eth1]", "[eth1, eth1]", "found name eth1 again"),
            ("[eth1]", "[an-interface-16x]", "interfaces[0]"), ("[eth1]", "[an-interface-15]", nil),
            ("services:", "attach-mode: auto\nservices:", nil),
            ("services:", "attach-mode: fast\nservices:", "attach-mode"),
            ("    backends:", "    backend:", "(did you mean backends?)"),
            ("name: web", "name: web\n    name: web", "the same key twice: name"),
            ("name: web", "name: web\n\tx: y", "m.yaml:4:"),
        ] as [(String, String, String?)])
    func `each value is accepted or refused with its place`(
        old: String, new: String, complaint: String?
    ) {
        let text = changed(old, new)
        #expect(text != "" && text != example)
        let found = errors(text)
        if let complaint {
            #expect(found.contains { $0.contains(complaint) }, "\(found)")
        } else {
            #expect(found == [])
        }
    }

    @Test func `all errors of a file come at once, each with line, path, found and accepted`() {
        let text = """
            interfaces: []
            services:
              - name: web
                vip: 192.168.1.300
                port: 70000
                forwarding: l2-dsr
                colour: red
                backends:
                  - { name: a, address: 10.0.0.1, weight: 0 }
                  - { name: a, address: 10.0.0.1, weight: 0 }
            """
        #expect(
            errors(text) == [
                "m.yaml:1:13: interfaces: found 0 entries, accepted: 1 to 255 interface names",
                "m.yaml:4:10: services[0].vip: found \"192.168.1.300\", accepted: an IPv4 or IPv6 "
                    + "unicast address, like 192.0.2.1 or 2001:db8::1",
                "m.yaml:5:11: services[0].port: found \"70000\", accepted: a port from 1 to 65535, "
                    + "or any",
                "m.yaml:7:5: services[0].colour: found an unknown key, accepted: backends, "
                    + "forwarding, health-check, name, port, protocol, scheduler, vip",
                "m.yaml:9:7: services[0].backends: found weight 0 everywhere, accepted: a backend "
                    + "with a weight",
                "m.yaml:10:9: services[0].backends[1]: found name a again, after line 9, accepted: "
                    + "each name once",
                "m.yaml:10:9: services[0].backends[1]: found address 10.0.0.1 again, after line 9, "
                    + "accepted: each address once",
            ])
    }

    @Test(arguments: ["", "# nothing", "- a", "null", "a: b: c", "%"])
    func `what is no configuration at all is refused`(text: String) {
        #expect(!errors(text).isEmpty)
    }

    @Test func `two services may not share VIP, port and protocol, nor a name`() {
        let second = """

              - name: web
                vip: 192.168.1.100
                port: 80
                forwarding: ipip
                backends: [{ name: x, address: 10.0.0.1 }]
            """
        let found = errors(example + second)
        #expect(found.count == 2)
        #expect(found.allSatisfy { $0.contains("services[1]") && $0.contains("after line 3") })
    }
}
