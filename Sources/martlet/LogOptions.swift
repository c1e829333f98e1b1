import ArgumentParser
import Logging
import Logs

/// How a command that stays writes its log, which goes to standard error.
struct LogOptions: ParsableArguments {
    @Option(help: "How each line of the log is written.")
    var logFormat = LogFormat.text
    @Option(help: "What is left out of the log: all that matters less than this.")
    var logLevel = Logger.Level.info

    /// From here on every logger of the process writes so.
    func begin() { StandardErrorHandler.bootstrap(logFormat, level: logLevel) }
}
