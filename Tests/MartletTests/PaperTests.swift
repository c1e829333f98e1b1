import Control
import Testing

@testable import martlet

struct PaperTests {
    @Test(
        arguments: [
            (.auto, true, [:], true), (.auto, false, [:], false),
            (.auto, true, ["NO_COLOR": "1"], false), (.auto, true, ["NO_COLOR": ""], true),
            (.auto, true, ["TERM": "dumb"], false), (.auto, true, ["TERM": "xterm"], true),
            (.always, false, ["NO_COLOR": "1"], true), (.never, true, [:], false),
        ] as [(ColorChoice, Bool, [String: String], Bool)])
    func `colour is for terminals, unless somebody chose`(
        choice: ColorChoice, isTerminal: Bool, environment: [String: String], isColoured: Bool
    ) {
        #expect(
            Paper.isColoured(choice, isTerminal: isTerminal, environment) == isColoured)
    }

    @Test(
        arguments: [
            (["LANG": "C.UTF-8"], true), (["LANG": "en_GB.utf8"], true), (["LANG": "C"], false),
            ([:], false), (["LC_ALL": "C", "LANG": "C.UTF-8"], false),
            (["LC_ALL": "", "LC_CTYPE": "C.UTF-8"], true),
        ] as [([String: String], Bool)])
    func `more than ASCII is shown where the locale has it`(
        environment: [String: String], hasUnicode: Bool
    ) {
        #expect(Paper.hasUnicode(environment) == hasUnicode)
    }

    @Test func `looks have no width`() {
        let text = StyledText("up", .good) + ", " + StyledText("slowly", .faint)
        #expect(text.count == 10)
        #expect(text.string == "up, slowly")
        #expect(
            text.rendered(isColoured: true) == "\u{1B}[32mup\u{1B}[0m, \u{1B}[2mslowly\u{1B}[0m")
        #expect(text.rendered(isColoured: false) == "up, slowly")
        #expect(text.cut(to: 5).rendered(isColoured: true).hasSuffix(", \u{1B}[2ms\u{1B}[0m"))
        #expect(text.cut(to: 0) == "")
        #expect(text.padded(to: 12, .right).string == "  up, slowly")
        #expect(text.padded(to: 12).withoutBlanksAtEnd == text)
    }

    @Test func `a coloured table has its columns where a plain one has them`() {
        var table = Table([("NAME", .left), ("STATE", .left), ("N", .right), ("WHY", .left)])
        table.add(["a", StyledText("up", .good), "1", "yes"])
        table.add(["b", StyledText("down", .bad), "12", "no"])
        let plain = table.lines()
        #expect(plain == ["NAME  STATE   N  WHY", "a     up      1  yes", "b     down   12  no"])
        let coloured = table.lines(on: Paper(isColoured: true))
        #expect(coloured[1] == "a     \u{1B}[32mup\u{1B}[0m      1  yes")
        #expect(
            coloured.map { line in
                line.split(separator: "\u{1B}", omittingEmptySubsequences: false).enumerated()
                    .map { $0.offset == 0 ? $0.element : $0.element.drop { $0 != "m" }.dropFirst() }
                    .joined()
            } == plain)
    }

    @Test(arguments: [30, 40, 60, 80, 120])
    func `a table is no wider than its paper`(width: Int) {
        let status = Samples.status
        let paper = Paper(width: width)
        let texts = [
            servicesText(status, on: paper), backendsText(status, of: status.services, on: paper),
        ]
        for line in texts.flatMap({ $0.split(separator: "\n") }) where width >= 80 {
            #expect(line.count <= width, "\(line)")
        }
        #expect(texts.allSatisfy { $0.contains("web") && $0.contains("dns") })
    }
}
