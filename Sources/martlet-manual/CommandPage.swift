/// The page of the program, and one for each of its commands.
struct CommandPages {
    let program: Dump.Command
    let date: String
    let version: String

    /// The names of the files, with what is in them.
    func all() -> [(name: String, text: String)] {
        let main = ("\(program.commandName).1", mainPage())
        return [main] + program.visibleCommands.flatMap { pages($0, under: [program.commandName]) }
    }

    private func pages(
        _ command: Dump.Command, under path: [String]
    ) -> [(name: String, text: String)] {
        let path = path + [command.commandName]
        let own = (path.joined(separator: "-") + ".1", page(command, path))
        return [own] + command.visibleCommands.flatMap { pages($0, under: path) }
    }

    private func mainPage() -> String {
        let name = program.commandName
        var page = begin([name], program)
        page.section("Synopsis")
        page.paragraph(
            .bold(name) + .plain(" ") + .italic("command") + .plain(" [") + .italic("option")
                + .plain("]..."))
        describe(program, in: &page)
        page.section("Commands")
        for command in program.visibleCommands {
            page.item(
                .bold("\(name)-\(command.commandName)") + .plain("(1)"),
                [.plain(command.abstract ?? "")])
        }
        page.section("Files")
        for (file, words) in files { page.item(.italic(file), [.plain(words)]) }
        page.section("See also")
        let pages = program.visibleCommands.map { ("\(name)-\($0.commandName)", "1") }
        page.paragraph(references(pages + [("martlet.yaml", "5"), ("systemd", "1")]))
        return page.text
    }

    private func page(_ command: Dump.Command, _ path: [String]) -> String {
        var page = begin(path, command)
        page.section("Synopsis")
        page.paragraph(synopsis(command, path))
        describe(command, in: &page)
        let arguments = command.visible
        if !arguments.isEmpty { page.section("Options") }
        for argument in arguments { page.item(term(argument), bodies(argument)) }
        if !command.visibleCommands.isEmpty { page.section("Commands") }
        for inner in command.visibleCommands {
            page.item(.bold(inner.commandName), [.plain(inner.abstract ?? "")])
        }
        page.section("See also")
        page.paragraph(references([(program.commandName, "1"), ("martlet.yaml", "5")]))
        return page.text
    }

    private func begin(_ path: [String], _ command: Dump.Command) -> Roff {
        let name = path.joined(separator: "-")
        var page = Roff(name, section: 1, date: date, version: version)
        page.section("Name")
        var abstract = command.abstract ?? ""
        if abstract.last == "." { abstract.removeLast() }
        // What whatis(1) finds: a name, ` \- `, and one line.
        page.paragraph(.plain(name) + .plain(" - ") + .plain(abstract))
        return page
    }

    private func synopsis(_ command: Dump.Command, _ path: [String]) -> Words {
        var words = Words.bold(path.joined(separator: " "))
        for argument in command.visible {
            let dots = argument.isRepeating ? Words.plain("...") : .plain("")
            let inner = shortTerm(argument) + dots
            words =
                words + .plain(argument.isOptional ? " [" : " ") + inner
                + .plain(argument.isOptional ? "]" : "")
        }
        if !command.visibleCommands.isEmpty { words = words + .plain(" ") + .italic("command") }
        return words
    }

    private func describe(_ command: Dump.Command, in page: inout Roff) {
        page.section("Description")
        page.paragraph(.plain(command.abstract ?? ""))
        var literal: [String] = []
        var paragraph: [String] = []
        func flush(_ page: inout Roff) {
            if !literal.isEmpty { page.literal(literal) }
            if !paragraph.isEmpty { page.paragraph(inline(paragraph.joined(separator: " "))) }
            (literal, paragraph) = ([], [])
        }
        let text = command.discussion ?? ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.allSatisfy(\.isWhitespace) {
                flush(&page)
            } else if line.first == " " {
                if !paragraph.isEmpty { flush(&page) }
                literal.append(String(line))
            } else {
                if !literal.isEmpty { flush(&page) }
                paragraph.append(String(line))
            }
        }
        flush(&page)
    }

    /// The longest name is the one that people understand.
    private func shortTerm(_ argument: Dump.Argument) -> Words {
        let value = Words.italic(argument.valueName ?? "value")
        guard let name = argument.names?.max(by: { $0.name.count < $1.name.count }) else {
            return value
        }
        return .bold(name.text) + (argument.kind == .option ? .plain(" ") + value : .plain(""))
    }

    private func term(_ argument: Dump.Argument) -> Words {
        let names = (argument.names ?? []).map { Words.bold($0.text) }
        guard let first = names.first else { return shortTerm(argument) }
        let all = names.dropFirst().reduce(first) { $0 + .plain(", ") + $1 }
        return argument.kind == .option
            ? all + .plain(" ") + .italic(argument.valueName ?? "value") : all
    }

    private func bodies(_ argument: Dump.Argument) -> [Words] {
        var bodies = [inline(argument.abstract ?? "")]
        if let discussion = argument.discussion, !discussion.isEmpty {
            bodies.append(inline(discussion))
        }
        if let values = argument.allValues, !values.isEmpty {
            bodies.append(.plain("One of: " + values.joined(separator: ", ") + "."))
        }
        if let value = argument.defaultValue, argument.kind == .option {
            bodies.append(.plain("Default: ") + .bold(value) + .plain("."))
        }
        return bodies
    }

    private func references(_ pages: [(name: String, section: String)]) -> Words {
        let all = pages.map { Words.bold($0.name) + .plain("(\($0.section))") }
        return all.dropFirst().reduce(all[0]) { $0 + .plain(", ") + $1 }
    }
}

private let files = [
    ("/etc/martlet/martlet.yaml", "The configuration that the unit of systemd runs."),
    ("/run/martlet/martlet.sock", "The socket of the controller, for members of its group."),
    (
        "/var/lib/martlet/",
        "What outlives the controller: state.json with drains and maintenance, generations/ with "
            + "the configurations, audit.log."
    ),
    ("/sys/fs/bpf/martlet/", "The program, its tables and attachments."),
]
