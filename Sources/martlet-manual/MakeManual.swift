import ArgumentParser
import FoundationEssentials

/// `martlet-manual`: makes the pages of the manual. Part of the build, never of what users deploy.
@main
struct MakeManual: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet-manual", abstract: "Make the pages of the manual.")

    @Option(help: "What `martlet --experimental-dump-help` printed.")
    var dump: String
    @Option(help: "docs/configuration.md")
    var configuration: String
    @Option(help: "The date of the pages.")
    var date: String
    @Option(help: "The version that they are of.")
    var version: String
    @Argument(help: "The directory to write them to.")
    var output: String

    func run() throws {
        let decoded = try JSONDecoder().decode(
            Dump.self, from: Data(contentsOf: URL(filePath: dump)))
        let document = String(
            decoding: try Data(contentsOf: URL(filePath: configuration)), as: UTF8.self)
        let commands = CommandPages(program: decoded.command, date: date, version: version).all()
        let file = MarkdownPage(
            name: "martlet.yaml", abstract: "what a node of Martlet does", date: date,
            version: version
        ).page(document)
        let directory = URL(filePath: output)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        for (name, text) in commands + [("martlet.yaml.5", file)] {
            try Data(text.utf8).write(to: directory.appending(path: name))
        }
    }
}
