public import ConfigurationFile
public import FoundationEssentials

/// One applied configuration, and how it came about.
public struct Generation: Hashable, Sendable, Codable {
    /// They begin with 1 and have no gaps.
    public var number: Int
    public var applied: Date
    /// ``Requester/name``
    public var by: String
    /// In words: `read from /etc/martlet/martlet.yaml`, `web/server-a: weight 3`.
    public var cause: String
    /// What changed, in words: `2 services added`, `1 backend removed`.
    public var summary: String
    /// What it was made of; nil: not told in a list.
    public var layers: Layers?
    /// The controller's own file, as it was when this generation came about: so that a start can
    /// tell whether it has changed since.
    public var ownFile: OwnFile?

    public struct OwnFile: Hashable, Sendable, Codable {
        public var name: String
        /// Stands for its text.
        public var fingerprint: String

        init(_ name: String, _ text: String) {
            self.name = name
            fingerprint = "\(Fingerprint(of: text.utf8))"
        }
    }

    public init(
        number: Int, applied: Date, by: String, cause: String, summary: String,
        layers: Layers? = nil
    ) {
        self.number = number
        self.applied = applied
        self.by = by
        self.cause = cause
        self.summary = summary
        self.layers = layers
    }
}
