import API
import ArgumentParser
import BPF
import ConfigurationFile

extension ExitCode {
    /// By the system or the controller; or no controller answers.
    static let refused = ExitCode(1)
    /// Not of `martlet plan`, whose 2 says something else.
    static let refusedConfiguration = ExitCode(2)
    static let planHasChanges = ExitCode(2)
    static let planRefusedConfiguration = ExitCode(3)
}

/// Ends the command with what was refused on standard error.
///
/// - Parameter capabilities: What the command takes, of those who are not root.
func refused(
    _ error: any Error, status: Int32 = 1, needing capabilities: [String] = []
) -> ExitCode {
    // Who ends a command from inside it has said why.
    if let code = error as? ExitCode { return code }
    if let failure = error as? BPF.Failure {
        printError("\(failure.needing(capabilities))")
    } else {
        printError("\(error)")
    }
    return ExitCode(status)
}

/// The same of a command that hands over a configuration, and so may have to tell what is wrong
/// with that.
///
/// - Parameter file: What somebody would look at again when the world has changed in between.
func refused(
    _ error: any Error, configuration status: ExitCode, file: String? = nil
) -> ExitCode {
    if error is ConfigurationErrors { return refused(error, status: status.rawValue) }
    guard let answer = error as? Client.Refused else { return refused(error) }
    if answer.isStale, let file {
        // The cure for whoever has a file is another than the API's.
        let reason = answer.description.split(separator: "\n").first ?? ""
        printError("\(reason)\n  see what it would change now: martlet plan \(shellWord(file))")
        return .refused
    }
    return refused(error, status: answer.isAboutConfiguration ? status.rawValue : 1)
}

extension Client.Refused {
    /// RFC 9110, 15.5.13: what it was asked for on the ground of is not so any more.
    fileprivate var isStale: Bool { status == 412 }
    /// RFC 9110, 15.5.1, 15.5.14 and 15.5.21.
    fileprivate var isAboutConfiguration: Bool { [400, 413, 422].contains(status) }
}

/// `text` so that a POSIX shell takes it for one word.
func shellWord(_ text: String) -> String {
    let plain = text.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "_-./:@%+=,".utf8.contains($0)
        }
    }
    if plain, !text.isEmpty { return text }
    return "'" + text.split(separator: "'", omittingEmptySubsequences: false)
        .joined(separator: "'\\''") + "'"
}
