import Balancing
import ConfigurationFile
import Packets
import Testing

/// A service beside the one of the example.
let api = """
    { "vip": "192.168.1.99", "port": 443, "forwarding": "ipip",
      "backends": [{ "name": "one", "address": "192.168.2.1" },
                   { "name": "two", "address": "192.168.2.2" }] }
    """

/// The example and what `change` orders over the API.
func layers(_ text: String = example, _ change: (inout Layers) -> Void = { _ in }) -> Layers {
    var layers = Layers(text: text, file: "m.yaml")
    change(&layers)
    return layers
}

/// What is wrong with them, a line for each error; empty: nothing.
func errors(_ layers: Layers) -> [String] {
    do {
        _ = try layers.desiredState()
        return []
    } catch {
        return "\(error)".split(separator: "\n").map(String.init)
    }
}

struct LayersTests {
    @Test func `without orders layers mean what the file means`() throws {
        let merged = try layers().merged()
        #expect(try merged.state == parse(example, file: "m.yaml"))
        #expect(try layers().desiredState() == merged.state)
        #expect(merged.layers == layers())
        #expect(merged.dropped == [])
    }

    @Test func `orders mean what the same words in the file would`() throws {
        let ordered = layers {
            $0.services["api"] = api
            $0.backends["web"] = ["server-x": "address: 192.168.1.104\nweight: 7"]
            $0.backends["api"] = ["three": #"{"name": "three", "address": "192.168.2.3"}"#]
            $0.weights["web"] = ["server-a": 3, "server-b": 0, "server-x": 9]
            $0.weights["api"] = ["one": 5, "three": 6]
        }
        let written = """
            interfaces: [eth1]
            services:
              - name: web
                vip: 192.168.1.100
                port: 80
                forwarding: l2-dsr
                health-check: { type: http, path: /healthz, interval: 1s, timeout: 500ms, fall: 2 }
                backends:
                  - { name: server-a, address: 192.168.1.101, weight: 3 }
                  - { name: server-b, address: 192.168.1.102, weight: 0 }
                  - { name: server-c, address: 192.168.1.103 }
                  - { name: server-x, address: 192.168.1.104, weight: 9 }
              - name: api
                vip: 192.168.1.99
                port: 443
                forwarding: ipip
                backends:
                  - { name: one, address: 192.168.2.1, weight: 5 }
                  - { name: two, address: 192.168.2.2 }
                  - { name: three, address: 192.168.2.3, weight: 6 }
            """
        let expected = try parse(written, file: "m.yaml")
        #expect(try ordered.desiredState() == expected)
        let merged = try ordered.merged()
        #expect(merged.state == expected)
        #expect(merged.layers == ordered)
        #expect(merged.dropped == [])
    }

    @Test func `what the file says for all services holds for ordered ones`() throws {
        let text = "tunnel-source: 172.16.0.0/16\n" + example
        let state = try layers(text) { $0.services["api"] = api }.desiredState()
        #expect(state.services.last?.tunnel.sources.map { "\($0)" } == ["172.16.0.0/16"])
    }

    @Test(arguments: [
        (#"{ "port": 443 }"#, "service api:1:1: vip: found nothing, accepted: an IPv4"),
        (#"{ "port": 0 }"#, "service api:1:11: port: found 0, accepted: a number from 1"),
        ("[]", "service api:1:1: found a list, accepted: a mapping with the keys"),
        ("", "service api:1:1: found an empty document, accepted: a mapping with the keys of a"),
        ("a: [", "service api:1:5: found"),
        ("vip: *a", #"service api:1:6: vip: found the alias "*a", which is not supported"#),
        ("\u{0}", "service api:1:1: found the character U+0000"),
        ("name: api2", #"service api:1:7: name: found "api2", accepted: "api", as which it is"#),
        ("name: []", "service api:1:7: name: found a list, accepted: 1 to 63 ASCII letters"),
        (
            "port: 443\nport: 444", "service api:2:1: port: found the key once more after line 1"
        ),
        (
            api.replacing("192.168.2.2", with: "192.168.2.1"),
            #"service api:3:44: backends[1].address: found "192.168.2.1", which is in line 2 alre"#
        ),
        (
            api.replacing("192.168.1.99", with: "192.168.1.100").replacing("443", with: "80"),
            "service api:1:10: vip: found 192.168.1.100:80/tcp, which the service in line 4 of "
                + "m.yaml has already"
        ),
    ])
    func `an error in an ordered service names it and the place in its text`(
        text: String, error: String
    ) {
        let found = errors(layers { $0.services["api"] = text })
        #expect(found.contains { $0.hasPrefix(error) }, "\(found)")
        #expect(!found.contains { $0.hasPrefix("m.yaml") }, "\(found)")
    }

    @Test(arguments: [
        ("address: x", "backend web/b:1:10: address: found \"x\", accepted: an IPv4 or IPv6"),
        ("5", "backend web/b:1:1: found 5, accepted: a mapping with the keys address, backup"),
        (
            "address: 192.168.1.101",
            "backend web/b:1:10: address: found \"192.168.1.101\", which is in line 11 of m.yaml "
                + "already"
        ),
        ("address: 192.168.1.104\nport: 8", "backend web/b:2:1: port: found the key with forw"),
        ("{address: 192.168.1.104, name: c}", "backend web/b:1:32: name: found \"c\", accepted: "),
    ])
    func `an error in an ordered backend names it and the place in its text`(
        text: String, error: String
    ) {
        let found = errors(layers { $0.backends["web"] = ["b": text] })
        #expect(found.count == 1 && found[0].hasPrefix(error), "\(found)")
    }

    @Test func `orders without an object, and names that the file has, are errors`() {
        let one = "address: 192.168.1.104"
        #expect(
            errors(layers { $0.backends["app"] = ["b": one] }) == [
                "backend app/b: found it, but there is no service app, "
                    + "accepted: a backend of a service that there is"
            ])
        #expect(
            errors(layers { $0.weights = ["web": ["b": 1], "app": ["c": 1]] }) == [
                "weight of app/c: found it, but there is no service app, "
                    + "accepted: the weight of a backend that there is",
                "weight of web/b: found it, but there is no such backend, "
                    + "accepted: the weight of a backend that there is",
            ])
        let service = errors(layers { $0.services["web"] = api })
        #expect(
            service.first?.hasPrefix(
                #"service web:1:1: name: found "web", which is in line 3 of m.yaml already"#)
                == true, "\(service)")
        let backend = errors(layers { $0.backends["web"] = ["server-a": one] })
        #expect(backend.count == 1, "\(backend)")
        #expect(errors(layers { $0.backends["web"] = ["server-d": one] }) == [])
    }

    @Test func `errors of the file come first, and carry its name and place as before`() throws {
        let text = try #require(changed("port: 80", "port: 0"))
        let error = #expect(throws: ConfigurationErrors.self) {
            try layers(text) {
                $0.services["api"] = "{}"
                $0.backends["web"] = ["b": "address: y"]
            }.desiredState()
        }
        let errors = try #require(error?.errors)
        #expect(errors.first?.file == "m.yaml")
        #expect(errors.first?.position == Position(line: 5, column: 11))
        #expect(errors.first?.line.hasPrefix("m.yaml:5:11: services[0].port: found 0") == true)
        #expect(Set(errors.map(\.file)) == ["m.yaml", "service api", "backend web/b"])
        #expect(errors.last?.position == Position(line: 1, column: 10))
        #expect(errors.last?.path == "address")
    }

    @Test func `all weights 0 are an error, whoever set them`() {
        let all: [String: UInt16] = ["server-a": 0, "server-b": 0, "server-c": 0]
        let found = errors(layers { $0.weights["web"] = all })
        #expect(found.count == 1)
        #expect(
            found.first?.hasPrefix("m.yaml:3:5: services[0]: found weight 0 for every") == true)
        #expect(errors(layers { $0.weights["web"] = all.filter { $0.key != "server-b" } }) == [])
    }
}
