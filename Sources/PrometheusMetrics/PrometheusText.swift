public import Control

/// All metrics in Prometheus's text exposition format 0.0.4, to be served as
/// ``prometheusContentType``.
///
/// The order is that of the catalogue, and within a metric that of the report: two texts of the
/// same facts are the same.
public func prometheusText(
    _ status: Status, _ counters: CountersReport, _ process: ProcessFacts
) -> String {
    prometheusText(Facts(status: status, counters: counters, process: process))
}

/// The media type of ``prometheusText(_:_:_:)``.
public let prometheusContentType = "text/plain; version=0.0.4; charset=utf-8"

func prometheusText(_ facts: Facts) -> String {
    var text = ""
    for metric in Metric.all {
        let samples = metric.samples(facts)
        guard !samples.isEmpty else { continue }
        text += "# HELP \(metric.name) \(escapedHelp(metric.help))\n"
        text += "# TYPE \(metric.name) \(metric.kind.rawValue)\n"
        for sample in samples {
            text += metric.name
            if !metric.labels.isEmpty {
                let names = metric.labels.suffix(sample.labels.count)
                let others = sample.labels.isEmpty ? "" : written(Array(names), sample.labels)
                let comma = sample.written != nil && !others.isEmpty ? "," : ""
                text += "{"
                text += sample.written ?? ""
                text += comma
                text += others
                text += "}"
            }
            text += " "
            text += sample.value.text
            text += "\n"
        }
    }
    return text
}

/// `service="web",phase="moving"`
func written(_ names: [String], _ values: [String]) -> String {
    zip(names, values).map { "\($0)=\"\(escapedLabel($1))\"" }.joined(separator: ",")
}

/// Backslashes, quotes and line feeds would end a label's value, or the line.
func escapedLabel(_ value: String) -> String {
    escaped(value) { $0 == "\"" ? "\\\"" : nil }
}

/// In a HELP line a quote is a quote.
func escapedHelp(_ text: String) -> String { escaped(text) { _ in nil } }

/// By scalar: `\r\n` is one character to Swift, but a line feed to who reads the text.
private func escaped(_ text: String, _ other: (Unicode.Scalar) -> String?) -> String {
    let special = [UInt8(ascii: "\\"), UInt8(ascii: "\n"), UInt8(ascii: "\"")]
    guard text.utf8.contains(where: special.contains) else { return text }
    var result = ""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        default:
            if let escape = other(scalar) {
                result += escape
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
    }
    return result
}
