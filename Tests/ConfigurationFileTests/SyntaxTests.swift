import ConfigurationFile
import Testing

struct SyntaxTests {
    @Test(
        arguments: [
            ("", "1:1: found an empty document, accepted: a mapping with the keys interfaces and"),
            ("# nothing\n", "1:1: found an empty document"),
            ("null", "1:1: found nothing, accepted: a mapping with the keys attach-mode, interf"),
            ("- a", "1:1: found a list, accepted: a mapping"),
            ("martlet", "1:1: found \"martlet\", accepted: a mapping"),
            ("a: 1\n\tb: 2", "2:1: found a tab in what begins in line 1, accepted: spaces before"),
            ("a: b: c", "1:5: found a \":\" where no key can be"),
            ("a: [1,\nb: 2", "2:5: found neither \",\" nor \"]\" in what begins in line 1"),
            ("a: {b: 1\nc", "2:2: found neither \",\" nor \"}\" in what begins in line 1"),
            ("a: {b: 1", "1:9: found neither \",\" nor \"}\", accepted: a mapping like"),
            ("- a\nb: c", "2:1: found what is no entry of its list in what begins in line 1"),
            (
                "a: [::1, b]",
                "1:5: found a \":\" without a key, accepted: an IPv6 address in quotes, like"
            ),
            ("a: { b: ::1 }", "1:9: found a \":\" without a key, accepted: an IPv6 address"),
            ("a: [b, fd00::]", "found a \":\" without a key, accepted: an IPv6 address in"),
            ("a: @b", "1:4: found \"@\" before a text, accepted: such a text in quotes"),
            ("a: \"b", "found the end of the file inside a text in quotes, accepted"),
            ("a: \"\\q\"", "found an escape that YAML does not know, accepted: a text in single"),
            ("a: 1\n---\nb: 2", "2:1: found a second document, accepted: one document in a file"),
            ("a: %\u{7}", "1:5: found the character U+0007, accepted: text without control"),
            ("a: \u{10FF00}", "1:4: found the character U+10FF00"),
            ("a: b\u{FEFF}", "1:5: found the character U+FEFF"),
            (String(repeating: "[", count: 2000), "found lists or mappings 1000 deep"),
        ])
    func `what is no YAML is refused in words, with its place`(text: String, complaint: String) {
        let found = errors(text)
        #expect(found.count == 1)
        #expect(found.first?.contains("m.yaml:") == true)
        #expect(found.first?.contains(complaint) == true, "\(found)")
    }

    @Test func `a key that is there twice is reported with both lines, wherever it is`() {
        let text = example.replacing("rise: 2", with: "rise: 2, rise: 3")
            .replacing("    port: 80\n", with: "    port: 80\n    \"port\": 81\n    port: 82\n")
        #expect(
            errors("interfaces: [eth0]\n" + text) == [
                "m.yaml:2:1: interfaces: found the key once more after line 1, accepted: each key "
                    + "once",
                "m.yaml:7:5: services[0].port: found the key once more after line 6, accepted: "
                    + "each key once",
                "m.yaml:8:5: services[0].port: found the key once more after line 6, accepted: "
                    + "each key once",
                "m.yaml:12:88: services[0].health-check.rise: found the key once more after line "
                    + "12, accepted: each key once",
            ])
    }

    @Test func `keys that are there twice are reported although the file is no YAML further down`()
    {
        let found = errors("a:\n  b: 1\n  b: 2\nc: [")
        #expect(found.count == 2)
        #expect(
            found.first == "m.yaml:2:3: found the key \"b\", which is in this mapping once "
                + "more, accepted: each key once")
        #expect(found.last?.contains("m.yaml:4:") == true)
    }

    @Test func `more keys twice than can be told apart are an error all the same`() {
        let text = (0..<100).map { "a\($0): 1\na\($0): 2\n" }.joined()
        #expect(errors(text).count > 30)
        #expect(errors("[a]: 1\n[a]: 2\n").count == 1)
        #expect(errors("'': 1\n'': 2\n").count == 1)
    }

    @Test func `a document that would grow to billions of nodes is refused as it stands`() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1..<40 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(aliases)]\n"
        }
        // As a key, too: telling keys apart would look at every node.
        let found = errors(text + "? *a39\n: 1\ninterfaces: *a39\nservices: []\n")
        #expect(found.contains { $0.contains("interfaces: found the alias \"*a39\"") })
    }
}
