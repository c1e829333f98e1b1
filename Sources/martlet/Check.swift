import ArgumentParser
import Balancing
import ConfigurationFile
import Control

/// `martlet check FILE`
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Validate a configuration without touching the system.",
        discussion: """
            All errors of the file are told at once, one line each: FILE:LINE:COLUMN: and what \
            is accepted there. With --json the same on standard output.

            Examples:
              martlet check martlet.yaml
              generate-configuration | martlet check -

            Exit status: 0 right, 2 refused configuration, 64 wrong usage.
            """)

    @Argument(
        help: "The configuration file; -: standard input.",
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var file: String
    @OptionGroup var output: OutputOptions

    func run() throws {
        do {
            let state = try ConfigurationFile.read(file)
            let finding = Finding(state, in: file)
            try output.write(finding) { _ in
                "\(file): right: \(count(finding.services, "service")), "
                    + "\(count(finding.backends, "backend")), on "
                    + finding.interfaces.joined(separator: ", ")
            }
            if !output.json { finding.warnings.forEach(printError) }
        } catch let errors as ConfigurationErrors where output.json {
            try output.write(Mistakes(errors)) { _ in "" }
            throw ExitCode.refusedConfiguration
        } catch {
            throw refused(error, configuration: .refusedConfiguration)
        }
    }
}

/// What a right file has.
private struct Finding: Encodable {
    let file: String
    let isRight = true
    let services: Int
    let backends: Int
    let interfaces: [String]
    let warnings: [String]

    init(_ state: DesiredState, in file: String) {
        self.file = file
        services = state.services.count
        backends = state.services.reduce(0) { $0 + $1.backends.count }
        interfaces = state.interfaces
        warnings = uselessSettings(of: state)
    }
}

/// What is wrong with a file.
private struct Mistakes: Encodable {
    struct Mistake: Encodable {
        let line: Int?
        let column: Int?
        let path: String
        let found: String
        let accepted: String
        let suggestion: String?
    }

    let file: String
    let isRight = false
    /// Why it can't be read.
    let refusal: String?
    let errors: [Mistake]

    init(_ errors: ConfigurationErrors) {
        file = errors.file
        refusal = errors.refusal
        self.errors = errors.errors.map {
            Mistake(
                line: $0.position?.line, column: $0.position?.column, path: $0.path,
                found: $0.found, accepted: $0.accepted, suggestion: $0.suggestion)
        }
    }
}
