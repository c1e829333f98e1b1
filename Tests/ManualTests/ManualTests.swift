import Foundation
import Testing

@testable import martlet_manual

struct ManualTests {
    private func command(
        _ name: String, _ arguments: [Dump.Argument] = [], discussion: String? = nil,
        _ inner: [Dump.Command] = []
    ) -> Dump.Command {
        Dump.Command(
            commandName: name, abstract: "Does it, \\ and more.", discussion: discussion,
            arguments: arguments, subcommands: inner)
    }

    private func pages(_ program: Dump.Command) -> [String: String] {
        let pages = CommandPages(program: program, date: "2030-01-31", version: "1.0").all()
        return Dictionary(pages.map { ($0.name, $0.text) }, uniquingKeysWith: { $1 })
    }

    @Test func `each command has a page, and the program's names them all`() throws {
        let inner = command("weight", [], [command("set")])
        let pages = pages(command("martlet", [], [command("run"), inner, command("help")]))
        #expect(
            Set(pages.keys) == [
                "martlet.1", "martlet-run.1", "martlet-weight.1",
                "martlet-weight-set.1",
            ])
        let main = try #require(pages["martlet.1"])
        #expect(main.contains(".TP\n\\fBmartlet\\-run\\fR(1)\nDoes it, \\e and more.\n"))
        #expect(main.contains("\nmartlet \\- Does it, \\e and more\n"))
        #expect(pages["martlet-run.1"]?.contains("\nmartlet\\-run \\- Does it") == true)
    }

    @Test func `an option has its names, value, meaning and default`() throws {
        let interval = Dump.Argument(
            kind: .option,
            names: [.init(kind: "short", name: "i"), .init(kind: "long", name: "interval")],
            valueName: "seconds", abstract: "How `often`.", defaultValue: "1.0",
            allValues: ["1.0", "2.0"], isOptional: true, isRepeating: false, shouldDisplay: true)
        let name = Dump.Argument(
            kind: .positional, valueName: "name", abstract: "'Which'.", isOptional: false,
            isRepeating: true, shouldDisplay: true)
        var hidden = interval
        hidden.shouldDisplay = false
        hidden.names = [.init(kind: "long", name: "secret")]
        let page = try #require(
            pages(command("martlet", [], [command("see", [interval, name, hidden])]))[
                "martlet-see.1"])
        #expect(
            page.contains(
                """
                .TP
                \\fB\\-i\\fR, \\fB\\-\\-interval\\fR \\fIseconds\\fR
                How \\fBoften\\fR.
                .br
                One of: 1.0, 2.0.
                .br
                Default: \\fB1.0\\fR.

                """))
        #expect(
            page.contains(
                "\\fBmartlet see\\fR [\\fB\\-\\-interval\\fR \\fIseconds\\fR] \\fIname\\fR..."))
        #expect(page.contains("\n\\(aqWhich\\(aq.\n"))
        #expect(!page.contains("secret"))
    }

    @Test func `indented lines of a discussion stay as they are`() throws {
        let text = "First\nline.\n\nExit status:\n   0  done\n  64  wrong\nAfter."
        let page = try #require(pages(command("martlet", discussion: text))["martlet.1"])
        #expect(
            page.contains(
                """
                .PP
                First line.
                .PP
                Exit status:
                .PP
                .RS 4
                .nf
                   0  done
                  64  wrong
                .fi
                .RE
                .PP
                After.

                """))
    }

    @Test func `a document keeps its headings, lists, tables and examples`() {
        let page = MarkdownPage(
            name: "x.yaml", abstract: "a file", date: "2030-01-31", version: "1.0"
        ).page(
            """
            # Title

            Text with `code`, [a *link*](other.md#part) and **strong**
            words.

            ## A part
            ### Smaller
            - one
              goes on
            - two
            ```yaml
            .a: \\b
            ```
            | key | accepted |
            |---|---|
            | `k` | any |
            """)
        #expect(!page.contains("Title"))
        #expect(
            page.contains("\nText with \\fBcode\\fR, a \\fIlink\\fR and \\fBstrong\\fR words.\n"))
        #expect(page.contains(".SH \"A PART\"\n.SS \"Smaller\"\n.IP \\(bu 2\none goes on\n"))
        #expect(page.contains(".nf\n\\&.a: \\eb\n.fi\n"))
        #expect(page.contains(".TP\n\\fBk\\fR\naccepted: any\n"))
    }

    @Test(arguments: [
        (".SH evil", "\\&.SH evil"), ("'evil", "\\(aqevil"), ("a * b", "a * b"),
        ("`open", "\\(gaopen"),
        ("[no link]", "[no link]"), ("", "\\&"),
    ])
    func `text is never a request`(text: String, line: String) {
        var page = Roff("x", section: 1, date: "2030-01-31", version: "1.0")
        page.paragraph(inline(text))
        #expect(page.text.hasSuffix(".PP\n\(line)\n"))
    }
}
