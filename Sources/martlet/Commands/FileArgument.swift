import ArgumentParser
import ConfigurationFile

/// The file that a command hands over.
struct FileArgument: ParsableArguments {
    @Argument(
        help: "The configuration file; -: standard input.",
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var file: String

    /// As sentences name it.
    var name: String { file == "-" ? "the standard input" : file }

    func text() throws(ConfigurationErrors) -> String { try readText(file) }
}
