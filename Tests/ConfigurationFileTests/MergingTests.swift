import Balancing
import ConfigurationFile
import Packets
import Testing

/// What is left of the orders when the file is written anew.
struct MergingTests {
    private static let backend = "address: 192.168.1.104"

    /// Orders of every kind over the example.
    private static func ordered(over text: String) -> Layers {
        layers(text) {
            $0.services["api"] = api
            $0.backends["web"] = ["server-x": backend]
            $0.backends["api"] = ["three": "address: 192.168.2.3"]
            $0.weights["web"] = ["server-a": 3, "server-x": 9]
            $0.weights["api"] = ["one": 5, "three": 6]
        }
    }

    private func edited(_ old: String, _ new: String) throws -> Layers {
        Self.ordered(over: try #require(changed(old, new)))
    }

    @Test func `a weight whose backend left the file falls away, and nothing else`() throws {
        let layers = try edited("      - { name: server-a, address: 192.168.1.101 }\n", "")
        let merged = try layers.merged()
        #expect(merged.dropped == ["weight of web/server-a: there is no such backend"])
        #expect(merged.layers.weights["web"] == ["server-x": 9])
        #expect(merged.layers.services == layers.services)
        #expect(merged.layers.backends == layers.backends)
        #expect(try merged.layers.desiredState() == merged.state)
    }

    @Test func `with a service of the file all orders for it fall away`() throws {
        let merged = try Self.ordered(over: "interfaces: [eth1]\nservices: []").merged()
        #expect(
            merged.dropped == [
                "backend web/server-x: there is no service web",
                "weight of web/server-a: there is no service web",
                "weight of web/server-x: there is no service web",
            ])
        #expect(merged.layers.backends.keys.sorted() == ["api"])
        #expect(merged.layers.weights.keys.sorted() == ["api"])
        #expect(merged.state.services.map(\.name) == ["api"])
    }

    @Test func `a service that the file now has is the file's`() throws {
        let own = """
              - name: api
                vip: 192.168.1.98
                port: 443
                forwarding: ipip
                backends: [{ name: one, address: 192.168.2.9 }]

            """
        let merged = try Self.ordered(over: example + own.indented).merged()
        #expect(merged.dropped == ["service api: m.yaml has a service of this name"])
        #expect(merged.layers.services == [:])
        let service = try #require(merged.state.services.last)
        #expect(service.vip.prefix.description == "192.168.1.98")
        // What was ordered for a service of that name still fits, and so it stays.
        #expect(service.backends.map(\.name) == ["one", "three"])
        #expect(service.backends.map(\.weight) == [5, 6])
    }

    @Test func `a backend that the file now has is the file's, by name or by address`() throws {
        let named = try edited("server-c", "server-x").merged()
        #expect(named.dropped == ["backend web/server-x: its service has a backend of this name"])
        #expect(named.state.services[0].backends.map { "\($0.address)" }.last == "192.168.1.103")
        // Its weight is for whoever has the name.
        #expect(named.state.services[0].backends.map(\.weight) == [3, 2, 9])

        let addressed = try edited("192.168.1.103", "192.168.1.104").merged()
        #expect(addressed.dropped.count == 2)
        #expect(
            addressed.dropped[0].hasPrefix(
                "backend web/server-x:1:10: address: found \"192.168.1.104\", which is in line 13 "
                    + "of m.yaml already"), "\(addressed.dropped)")
        #expect(addressed.dropped[1] == "weight of web/server-x: there is no such backend")
        #expect(addressed.state.services[0].backends.count == 3)
    }

    @Test func `an ordered service that the file has under another name falls away`() throws {
        let other = example + api.asService("other").indented
        let merged = try Self.ordered(over: other).merged()
        #expect(merged.dropped.count == 4, "\(merged.dropped)")
        #expect(
            merged.dropped.first?.hasPrefix(
                "service api:1:10: vip: found 192.168.1.99:443/tcp, which the service in line ")
                == true, "\(merged.dropped)")
        #expect(merged.state.services.map(\.name) == ["web", "other"])
    }

    @Test func `a weight that leaves a service without any falls away`() throws {
        var text = example
        for name in ["server-b", "server-c"] {
            let line = try #require(text.split(separator: "\n").first { $0.contains(name) })
            text = text.replacing(line + "\n", with: "")
        }
        let merged = try layers(text) {
            $0.services["api"] = api
            $0.weights["web"] = ["server-a": 0]
            $0.weights["api"] = ["one": 0]
        }.merged()
        #expect(merged.dropped.count == 1, "\(merged.dropped)")
        #expect(
            merged.dropped.first?.hasPrefix(
                "weight of web/server-a: m.yaml:3:5: services[0]: found weight 0 for every")
                == true, "\(merged.dropped)")
        #expect(merged.layers.weights == ["api": ["one": 0]])
    }

    @Test func `what shows in the file but is due to an order costs that order alone`() throws {
        // The error of two NAT services with one backend shows at the later of them.
        let nat = """
            interfaces: [eth1]
            services:
              - { name: a, vip: 192.0.2.1, port: 80, forwarding: nat,
                  backends: [{ name: x, address: 10.0.0.1 }] }
              - { name: b, vip: 192.0.2.2, port: 80, forwarding: nat,
                  backends: [{ name: y, address: 10.0.0.2 }] }
            """
        let merged = try layers(nat) {
            $0.backends["a"] = [
                "one": "address: 10.0.0.3", "two": "address: 10.0.0.2",
                "three": "address: 10.0.0.4",
            ]
        }.merged()
        #expect(merged.layers.backends["a"]?.keys.sorted() == ["one", "three"])
        #expect(merged.dropped.count == 1)
        #expect(
            merged.dropped.first?.hasPrefix(
                "backend a/two: m.yaml:6:38: services[1].backends[0].address: found answers from "
                    + "10.0.0.2:80/tcp, which are those of the backend in line 1 of backend a/two")
                == true, "\(merged.dropped)")
    }

    @Test(arguments: [("port: 80", "port: 0"), ("services:", "services: []\nservices:")])
    func `a file that is wrong is refused for what is wrong with it, whatever is ordered`(
        old: String, new: String
    ) throws {
        let layers = try edited(old, new)
        let error = #expect(throws: ConfigurationErrors.self) { try layers.merged() }
        let errors = try #require(error?.errors)
        #expect(!errors.isEmpty)
        #expect(errors.allSatisfy { $0.file == "m.yaml" })
        #expect(throws: ConfigurationErrors.self) { try parse(layers.text, file: "m.yaml") }
    }

    @Test func `an order that is no YAML any more falls away`() throws {
        let merged = try layers {
            $0.services["api"] = "vip: ["
            $0.backends["api"] = ["x": "address: 192.0.2.1"]
        }.merged()
        #expect(merged.dropped.count == 2, "\(merged.dropped)")
        #expect(merged.dropped[0].hasPrefix("service api:1:7: found"), "\(merged.dropped)")
        #expect(merged.dropped[1] == "backend api/x: there is no service api")
        #expect(merged.layers == layers())
    }

    @Test func `of orders that are too many together as many stay as there is room for`() throws {
        // All services of a family have 65,536 ports at most.
        let merged = try layers {
            for number in 100..<200 {
                $0.services["api\(number)"] =
                    api.replacing("192.168.1.99", with: "192.0.2.\(number)")
                    .replacing("\"port\": 443", with: "\"ports\": [1-10000]")
            }
        }.merged()
        #expect(merged.layers.services.count == 6)
        #expect(merged.dropped.count == 94)
        #expect(
            merged.dropped.first?.contains(": ports: found 10000 ports after ") == true,
            "\(merged.dropped)")
        #expect(
            merged.dropped.last?.hasSuffix(": too many orders don't fit to m.yaml any more")
                == true, "\(merged.dropped)")
    }

    @Test func `five hundred orders that don't fit are dropped one by one`() throws {
        let merged = try layers {
            for number in 0..<500 {
                $0.backends["web", default: [:]]["b\(number)"] =
                    "address: 192.168.\(number.isMultiple(of: 2) ? 1 : 3).\(number / 2 % 250 + 1)"
            }
        }.merged()
        // 192.168.1.100 to .103 are the VIP and the backends of the file.
        #expect(merged.dropped.count == 4, "\(merged.dropped)")
        #expect(merged.state.services[0].backends.count == 3 + 496)
    }
}

extension String {
    /// As an entry of the list of services in the example.
    fileprivate var indented: String {
        split(separator: "\n").map { $0.hasPrefix("  ") ? "\($0)\n" : "  \($0)\n" }.joined()
    }

    /// A mapping in one line as an entry of a list, with a name.
    fileprivate func asService(_ name: String) -> String {
        "  - " + replacing("\n", with: " ").replacing("{ \"vip\"", with: "{ name: \(name), \"vip\"")
    }
}
