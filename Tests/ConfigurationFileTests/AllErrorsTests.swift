import ConfigurationFile
import Testing

struct AllErrorsTests {
    @Test func `all errors of a file come at once, in the order of the file`() {
        let text = """
            interfaces: [eth1, eth1]
            services:
              - name: web
                vip: 192.168.1.300
                port: 70000
                port: 80
                schedular: maglev
                forwarding: l2-dsr
                health-check: { type: htpp, interval: 2, timeout: 1m, rise: 0 }
                backends:
                  - { name: a, address: 10.0.0.1 }
                  - { name: a, address: 10.0.0.1, weight: "2" }
                  - server-c
              - name: web
                vip: 10.0.0.9
                port: any
                forwarding: l2-dsr
                health-check: { type: tcp, path: /x }
                backends:
                  - { name: a, address: 10.0.0.9, weight: 0 }
                  - { name: b, adress: fd00::1, weight: 0 }
            """
        let serviceKeys =
            "access, affinity, affinity-timeout, backends, forwarding, health-check, hold, "
            + "idle-timeout, keep-alive, name, panic-threshold, port, ports, protocol, scheduler, "
            + "slow-start, tracking, tunnel-port, tunnel-source, vip"
        let duration = "a duration from 10ms to 1h with its unit (ms, s, m or h), like 500ms"
        #expect(
            errors(text) == [
                "m.yaml:1:20: interfaces[1]: found \"eth1\", which is in line 1 already, accepted: "
                    + "each interface once",
                "m.yaml:4:10: services[0].vip: found \"192.168.1.300\", accepted: an IPv4 or IPv6 "
                    + "address, like 192.0.2.1, or a prefix, like 192.0.2.0/28",
                "m.yaml:5:11: services[0].port: found 70000, accepted: a number from 1 to 65535, "
                    + "or any",
                "m.yaml:6:5: services[0].port: found the key once more after line 5, accepted: "
                    + "each key once",
                "m.yaml:7:5: services[0].schedular: found an unknown key, accepted: \(serviceKeys) "
                    + "(did you mean scheduler?)",
                "m.yaml:9:27: services[0].health-check.type: found \"htpp\", accepted: tcp, http "
                    + "(did you mean http?)",
                "m.yaml:9:43: services[0].health-check.interval: found 2, accepted: \(duration) "
                    + "(did you mean 2s?)",
                "m.yaml:9:65: services[0].health-check.rise: found 0, accepted: a number from 1 to "
                    + "100",
                "m.yaml:12:17: services[0].backends[1].name: found \"a\", which is in line 11 "
                    + "already, accepted: a name that no other backend of the service has",
                "m.yaml:12:29: services[0].backends[1].address: found \"10.0.0.1\", which is in "
                    + "line 11 already, accepted: an address that no other backend of the service "
                    + "has",
                "m.yaml:12:47: services[0].backends[1].weight: found \"2\" in quotes, accepted: a "
                    + "number from 0 to 65535 (did you mean 2?)",
                "m.yaml:13:9: services[0].backends[2]: found \"server-c\", accepted: a mapping "
                    + "with the keys address, backup, max-connections, name, port, weight",
                "m.yaml:14:5: services[1]: found weight 0 for every backend, accepted: at least "
                    + "one backend with a weight from 1 to 65535",
                "m.yaml:14:11: services[1].name: found \"web\", which is in line 3 already, "
                    + "accepted: a name that no other service has",
                "m.yaml:18:19: services[1].health-check.port: found nothing, accepted: a number "
                    + "from 1 to 65535, for the service has port: any",
                "m.yaml:18:32: services[1].health-check.path: found the key with type: tcp, "
                    + "accepted: it with type: http only",
                "m.yaml:20:29: services[1].backends[0].address: found \"10.0.0.9\", which is the "
                    + "VIP, accepted: the backend's own address",
                "m.yaml:21:20: services[1].backends[1].adress: found an unknown key, accepted: "
                    + "address, backup, max-connections, name, port, weight (did you mean "
                    + "address?)",
            ])
    }

    @Test func `two services may not share VIP, port and protocol`() {
        let second = """
              - name: other
                vip: 192.168.1.100
                port: 80
                forwarding: ipip
                backends: [{ name: x, address: 10.0.0.1 }]
            """
        #expect(
            errors(example + second) == [
                "m.yaml:15:10: services[1].vip: found 192.168.1.100:80/tcp, which the service in "
                    + "line 4 has already, accepted: a VIP, port and protocol that no other "
                    + "service has"
            ])
        for change in [
            "port: 81", "port: any", "port: 80\n    protocol: udp", "ports: [79, 81-90]",
        ] {
            #expect(errors(example + second.replacing("port: 80", with: change)) == [])
        }
        // Which port was meant is not known: nothing can be said of the two.
        #expect(errors(example + second.replacing("port: 80", with: "port: x")).count == 1)
    }

    @Test(
        arguments: [
            // One mistake each, on which another check depends.
            ("vip: 192.168.1.100", "vip: x"), ("forwarding: l2-dsr", "forwarding: x"),
            ("type: http", "type: x"), ("type: http", "typ: http"), ("port: 80", "prt: 80"),
            ("interval: 1s", "interval: 1"), ("timeout: 500ms", "timout: 500ms"),
            ("192.168.1.102", "x"), ("weight: 2", "weight: x"),
            ("interfaces: [eth1]", "interface: [eth1]"), ("vip: 192.168.1.100", "<<: {}"),
        ])
    func `a mistake is not reported again for what depends on it`(old: String, new: String) throws {
        let text = try #require(changed(old, new))
        #expect(errors(text).count == 1, "\(errors(text))")
    }
}
