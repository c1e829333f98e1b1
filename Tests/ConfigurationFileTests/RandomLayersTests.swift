import ConfigurationFile
import SeededRandom
import Testing

/// Pieces of texts that are right, and of texts that are not.
private let pieces = [
    "name", ": ", "web", "api", "\n", "- ", "{", "}", "[", "]", ", ", "address: 192.168.1.104",
    "address: 192.168.1.101", "weight: 0", "weight: 3", "backends: ", "services: ",
    "vip: 192.0.2.1", "port: 443", "forwarding: nat", "forwarding: ipip", "*a", "&a ", "<<: ",
    "\"", "\t", "\u{0}", "\u{10FF01}", "é", "5",
]

struct RandomLayersTests {
    private func text(_ random: inout SeededRandom, of whole: String) -> String {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return whole
        case 1:
            let count = Int.random(in: 0...8, using: &random)
            return (0..<count).compactMap { _ in pieces.randomElement(using: &random) }.joined()
        default:
            var text = Array(whole.unicodeScalars)
            let start = Int.random(in: 0..<text.count, using: &random)
            let end = min(text.count, start + Int.random(in: 0...6, using: &random))
            let piece = pieces.randomElement(using: &random) ?? ""
            text.replaceSubrange(start..<end, with: piece.unicodeScalars)
            var view = String.UnicodeScalarView()
            view.append(contentsOf: text)
            return String(view)
        }
    }

    private func randomLayers(_ random: inout SeededRandom) -> Layers {
        let isWhole = Int.random(in: 0..<3, using: &random) > 0
        var layers = Layers(text: isWhole ? example : text(&random, of: example), file: "m.yaml")
        let services = ["web", "api", "", "a b", "-"]
        let backends = ["server-a", "one", "x", "y", ""]
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            let service = services.randomElement(using: &random) ?? ""
            let backend = backends.randomElement(using: &random) ?? ""
            switch Int.random(in: 0..<3, using: &random) {
            case 0: layers.services[service] = text(&random, of: api)
            case 1:
                layers.backends[service, default: [:]][backend] =
                    text(&random, of: "{ address: 192.168.1.104, weight: 2 }")
            default:
                layers.weights[service, default: [:]][backend] =
                    [0, 1, .max].randomElement(using: &random)
            }
        }
        return layers
    }

    @Test(arguments: 0..<4)
    func `whatever is ordered, the file decides whether it is refused`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var (right, dropping) = (0, 0)
        for _ in 0..<400 {
            let layers = randomLayers(&random)
            let alone = Result { try parse(layers.text, file: layers.file) }
            do {
                let merged = try layers.merged()
                right += 1
                dropping += merged.dropped.isEmpty ? 0 : 1
                #expect((try? merged.layers.desiredState()) == merged.state, "\(layers)")
                #expect((try? merged.layers.merged())?.dropped == [], "\(layers)")
                if merged.dropped.isEmpty { #expect(merged.layers == layers) }
            } catch {
                // Weights that are ordered can mend a file, but nothing spoils one.
                #expect(throws: ConfigurationErrors.self) { try alone.get() }
                #expect(!error.errors.isEmpty)
            }
        }
        #expect((1..<400).contains(right))
        #expect((1..<400).contains(dropping))
    }

    @Test func `lists a thousand deep are refused in orders as in files`() {
        for depth in [900, 1100, 20_000] {
            let text = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
            let found = errors(layers { $0.services["api"] = text })
            #expect(found.count == 1, "\(depth)")
            #expect(found.first?.hasPrefix("service api:") == true)
        }
    }
}
