import ArgumentParser
import Control
import FoundationEssentials

/// How a command writes.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Show JSON, for programs.")
    var json = false
    @Option(help: "Colours: auto, which is on a terminal unless NO_COLOR is set; always; never.")
    var color = ColorChoice.auto

    var paper: Paper { .standardOutput(color) }

    /// Writes what was done or found, in words or for programs.
    ///
    /// - Parameter isLine: Whether JSON is one line, because more come after it.
    func write(
        _ value: some Encodable, isLine: Bool = false, text: (Paper) -> String
    ) throws {
        _ = printWhole((json ? try jsonText(value, isLine: isLine) : text(paper)) + "\n")
    }

    func write(_ done: Done) throws { try write(done) { _ in "\(done)" } }
}

/// As the API writes it: dates as RFC 3339 has them, keys in order.
func jsonText(_ value: some Encodable, isLine: Bool = false) throws -> String {
    let encoder = JSONEncoder()
    encoder.dateEncodingStrategy = .iso8601
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    if !isLine { encoder.outputFormatting.insert(.prettyPrinted) }
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}

/// What a command did with a backend.
struct Done: Encodable, CustomStringConvertible {
    let service: String
    let backend: String
    /// As it goes on after the backend's name: `drains`.
    let text: String

    init(_ backend: BackendReference, _ text: String) {
        (service, self.backend, self.text) = (backend.service, backend.backend, text)
    }

    var description: String { "\(service)/\(backend) \(text)" }
}
