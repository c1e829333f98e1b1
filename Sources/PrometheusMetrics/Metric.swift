/// One metric of the catalogue: what it is called, what it means, and what it reads from the facts.
public struct Metric: Sendable {
    /// What its values do: the TYPE line of the format.
    public enum Kind: String, Sendable {
        /// Only grows, and begins at 0 again with what counts it.
        case counter
        case gauge
    }

    public let name: String
    public let kind: Kind
    /// One sentence, without a full stop.
    public let help: String
    /// The names of its labels, in their order.
    public let labels: [String]
    let samples: @Sendable (Facts) -> [Sample]

    /// A metric with labels.
    init(
        _ name: String, _ kind: Kind, _ help: String, _ labels: [String],
        _ samples: @escaping @Sendable (Facts) -> [Sample]
    ) {
        self.name = name
        self.kind = kind
        self.help = help
        self.labels = labels
        self.samples = samples
    }

    /// A metric without labels; a nil value is not known, and left out.
    init(
        _ name: String, _ kind: Kind, _ help: String,
        _ value: @escaping @Sendable (Facts) -> Value?
    ) {
        self.init(name, kind, help, []) { facts in
            value(facts).map { [Sample([], $0)] } ?? []
        }
    }
}

/// A value of a metric, with the values of its labels.
struct Sample: Sendable {
    /// The first labels as they are written; nil: none of them is.
    let written: String?
    /// The values of the others.
    let labels: [String]
    let value: Value

    init(_ labels: [String], _ value: Value) {
        written = nil
        self.labels = labels
        self.value = value
    }

    init(after written: String, _ labels: [String], _ value: Value) {
        self.written = written
        self.labels = labels
        self.value = value
    }

    /// 1 if it is so, else 0.
    init(_ labels: [String], _ isSo: Bool) { self.init(labels, .flag(isSo)) }
}

/// A number of either sort: counts are exact beyond 2^53.
enum Value: Sendable, Hashable {
    case count(UInt64)
    case real(Double)

    static func count(_ value: Int) -> Value { .count(UInt64(max(0, value))) }

    static func flag(_ isSo: Bool) -> Value { .count(isSo ? 1 : 0) }

    /// As Go's `ParseFloat` reads it, which Prometheus reads with.
    var text: String {
        switch self {
        case .count(let value): "\(value)"
        case .real(let value) where value.isNaN: "NaN"
        case .real(let value) where value.isInfinite: value < 0 ? "-Inf" : "+Inf"
        case .real(let value):
            // Whole seconds and the like need no `.0`, nor an exponent.
            value == value.rounded() && abs(value) < 0x1p53 ? "\(Int64(value))" : "\(value)"
        }
    }
}
