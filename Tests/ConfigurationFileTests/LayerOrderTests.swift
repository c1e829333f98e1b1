import Balancing
import ConfigurationFile
import Testing

/// Which orders can be followed, whatever their texts say.
struct LayerOrderTests {
    private static let backend = "address: 192.168.1.104"

    /// With a service, a backend and weights that were ordered.
    private static let base = layers {
        $0.services["api"] = api
        $0.backends["web"] = ["server-x": backend]
        $0.backends["api"] = ["three": "address: 192.168.2.3"]
        $0.weights["web"] = ["server-a": 3, "server-x": 9]
        $0.weights["api"] = ["one": 5, "three": 6]
    }

    private func changed(
        _ order: LayerOrder, _ layers: Layers = base
    ) throws -> Layers {
        try layers.changed(by: order, over: layers.desiredState())
    }

    private func expectRefusal(
        _ order: LayerOrder, _ kind: LayerRefusal.Kind, _ words: String
    ) {
        let refusal = #expect(throws: LayerRefusal.self) { try changed(order) }
        #expect(refusal?.kind == kind, "\(order)")
        #expect(refusal?.description == words, "\(order)")
    }

    @Test func `orders change what they name and nothing else`() throws {
        var expected = Self.base
        expected.services["new"] = "{}"
        #expect(try changed(.setService("new", text: "{}")) == expected)

        expected = Self.base
        (expected.text, expected.file) = ("other", "o.yaml")
        #expect(try changed(.file(text: "other", name: "o.yaml")) == expected)

        expected = Self.base
        expected.backends["api"]?["four"] = "{}"
        #expect(try changed(.setBackend(service: "api", name: "four", text: "{}")) == expected)

        expected = Self.base
        expected.weights["web"]?["server-b"] = 0
        #expect(try changed(.setWeight(service: "web", backend: "server-b", 0)) == expected)
    }

    @Test func `what is set anew is as its text says`() throws {
        var expected = Self.base
        expected.services["api"] = "{}"
        // Of the weights the one of the text's backend falls away, the other one stays.
        expected.weights["api"] = ["three": 6]
        #expect(try changed(.setService("api", text: "{}")) == expected)

        expected = Self.base
        expected.backends["web"] = ["server-x": "{}"]
        expected.weights["web"] = ["server-a": 3]
        #expect(try changed(.setBackend(service: "web", name: "server-x", text: "{}")) == expected)
    }

    @Test func `with what is removed goes what belongs to it`() throws {
        var expected = Self.base
        expected.services["api"] = nil
        expected.backends["api"] = nil
        expected.weights["api"] = nil
        #expect(try changed(.removeService("api")) == expected)
        #expect(throws: Never.self) { try expected.desiredState() }

        expected = Self.base
        expected.backends["web"] = nil
        expected.weights["web"] = ["server-a": 3]
        #expect(try changed(.removeBackend(service: "web", name: "server-x")) == expected)

        let order = LayerOrder.setWeight(service: "web", backend: "server-a", nil)
        expected = Self.base
        expected.weights["web"] = ["server-x": 9]
        #expect(try changed(order) == expected)
        // Whoever asks for it twice has what he wants.
        #expect(try changed(order, expected) == expected)
    }

    @Test func `removing all that was ordered leaves the layers as they were`() throws {
        var layers = Self.base
        layers = try changed(.removeService("api"), layers)
        layers = try changed(.removeBackend(service: "web", name: "server-x"), layers)
        layers = try changed(.setWeight(service: "web", backend: "server-a", nil), layers)
        #expect(layers == ConfigurationFileTests.layers())
    }

    @Test func `what the file has is the file's`() {
        expectRefusal(
            .setService("web", text: "{}"), .conflict,
            "cannot set service web: m.yaml has it\n"
                + "  change it there and reload, or use another name")
        expectRefusal(
            .removeService("web"), .conflict,
            "cannot remove service web: m.yaml has it\n  remove it there and reload")
        expectRefusal(
            .setBackend(service: "web", name: "server-a", text: Self.backend), .conflict,
            "cannot set backend web/server-a: m.yaml has it\n"
                + "  change it there and reload, use another name, or set its weight")
        expectRefusal(
            .removeBackend(service: "web", name: "server-a"), .conflict,
            "cannot remove backend web/server-a: m.yaml has it\n"
                + "  change it there and reload, or drain it")
        expectRefusal(
            .removeBackend(service: "api", name: "one"), .conflict,
            "cannot remove backend api/one: the text of service api has it\n"
                + "  set the service with another one, or drain it")
    }

    @Test(arguments: [
        (LayerOrder.removeService("app"), "remove service app: there is no service \"app\""),
        (
            .setBackend(service: "app", name: "x", text: ""),
            "set backend app/x: there is no service \"app\""
        ),
        (
            .removeBackend(service: "app", name: "x"),
            "remove backend app/x: there is no service \"app\""
        ),
        (
            .removeBackend(service: "web", name: "x"),
            "remove backend web/x: service web has no backend \"x\""
        ),
        (
            .setWeight(service: "app", backend: "x", 1),
            "set the weight of app/x: there is no service \"app\""
        ),
        (
            .setWeight(service: "web", backend: "x", nil),
            "set the weight of web/x: service web has no backend \"x\""
        ),
    ])
    func `what there is not is unknown`(order: LayerOrder, reason: String) throws {
        let refusal = #expect(throws: LayerRefusal.self) { try changed(order) }
        #expect(refusal?.kind == .unknown)
        #expect(refusal?.description.hasPrefix("cannot \(reason)\n  martlet ") == true)
    }

    @Test(arguments: ["", "a b", "-a", "é", "a/b", String(repeating: "a", count: 64)])
    func `a name is one as in the file`(name: String) throws {
        for order in [
            LayerOrder.setService(name, text: api),
            .setBackend(service: "web", name: name, text: Self.backend),
        ] {
            let refusal = #expect(throws: LayerRefusal.self) { try changed(order) }
            #expect(refusal?.kind == .invalid)
        }
        #expect(throws: Never.self) {
            try changed(.setService(String(repeating: "a", count: 63), text: api))
        }
    }

    @Test func `a text may be as long as the limit and no longer`() throws {
        let longest = String(repeating: "#", count: Limits.orderSize)
        #expect(throws: Never.self) { try changed(.setService("a", text: longest)) }
        expectRefusal(
            .setService("a", text: longest + "#"), .invalid,
            "cannot set service a: its text has 65537 bytes\n"
                + "  give at most 65536, or write it into m.yaml")
        #expect(throws: LayerRefusal.self) {
            try changed(.setBackend(service: "web", name: "b", text: longest + "#"))
        }
        #expect(throws: LayerRefusal.self) {
            try changed(
                .file(text: String(repeating: "#", count: Limits.fileSize + 1), name: "f"))
        }
        // All together: 64 of the longest.
        let state = try layers().desiredState()
        var full = layers()
        for number in 0..<63 { full.services["a\(number)"] = longest }
        full = try full.changed(by: .setService("b", text: longest), over: state)
        #expect(throws: LayerRefusal.self) {
            try full.changed(by: .setService("c", text: "#"), over: state)
        }
    }

    @Test func `there may be as many orders as the limits and no more`() throws {
        let state = try layers().desiredState()
        var full = layers()
        for number in 1..<Limits.orderedServices { full.services["a\(number)"] = "{}" }
        full = try full.changed(by: .setService("b", text: "{}"), over: state)
        #expect(throws: LayerRefusal.self) {
            try full.changed(by: .setService("c", text: "{}"), over: state)
        }
        // In place of another one is no more.
        #expect(throws: Never.self) {
            try full.changed(by: .setService("b", text: "[]"), over: state)
        }
        for number in 1..<Limits.orderedBackends {
            full.backends["web", default: [:]]["b\(number)"] = "{}"
            full.weights["old", default: [:]]["b\(number)"] = 1
        }
        full = try full.changed(
            by: .setBackend(service: "web", name: "c", text: "{}"), over: state)
        #expect(throws: LayerRefusal.self) {
            try full.changed(by: .setBackend(service: "web", name: "d", text: "{}"), over: state)
        }
        full = try full.changed(
            by: .setWeight(service: "web", backend: "server-a", 1), over: state)
        #expect(throws: LayerRefusal.self) {
            try full.changed(
                by: .setWeight(service: "web", backend: "server-b", 1), over: state)
        }
    }
}
